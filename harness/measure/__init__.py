"""How fast, with how much of the machine, and what speaks against a figure: from samples, stamps and records."""
