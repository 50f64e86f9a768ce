"""What is kept of a trial: its record, its requests' answers and stamps, and the folder that holds them."""
