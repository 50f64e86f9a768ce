"""What is seen of a worker from outside, by a driver that changes nothing. Nothing is judged here."""
