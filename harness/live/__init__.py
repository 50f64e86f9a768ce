"""What a running worker does, or is stuck in: looked at from outside, with nothing asked of it and nothing changed in it."""
