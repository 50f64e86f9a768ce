"""What the figures say to do: compare two runs, recommend, tune, bisect."""
