"""Advice for a deployment, from what was measured: which configuration, what else would do as well, what must not be used.

`constraints` reads what the user asks for, `fresh` says what one more worker of a configuration will have, `candidates` holds
each against the other, `overhead` says whether Celery's own work sets the pace, `ranking` decides (all pure), `settings` turns
a cell into what a user pastes, `pages` writes it down. `harness recommend` puts them together.
"""
