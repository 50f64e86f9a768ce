"""This computer, and the processes on it: what the kernel says of them, and programs of ours. Knows nothing of trials."""
