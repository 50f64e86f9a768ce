"""How sure a figure is, and whether two differ. Statistics over plain numbers; knows no record."""
