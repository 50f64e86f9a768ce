"""Advice for a deployment, from what was measured: which configuration, what else would do as well, what must not be used.

`constraints` reads what the user asks for, `candidates` holds each configuration against it, `ranking` decides (all pure),
`settings` turns a cell into what a user pastes, `pages` writes it down. `harness recommend` puts them together.
"""
