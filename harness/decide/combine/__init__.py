"""Cells compared within each host, and over hosts: `harness combine`. The statistics are in `certainty.hosts`."""
