"""Truth tests of the instrument itself: known answers that it must reproduce, and how far it may be off.

A truth test is a function that returns one or more `finding.Finding`. It prints nothing and judges nothing but its own bound;
`harness selftest --instrument` runs them all.
"""
