"""What the instrument itself costs: measurements as functions that return plain figures; `harness selfcost` prints them."""
