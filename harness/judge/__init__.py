"""Whether progress can come, how a trial ended, and why: pure functions of what was seen."""
