"""`harness check`: what a fork would break in somebody's application, before any worker is started.

    command     the verb
    answer      what a check says in the end; and the check of the source alone
    check       the order of things: the source, then one import and one fork, then, with a task, calls
    modules     which source files are the application's
    static      rules over the source, a module per family; nothing is run
    asked       the application's own interpreter, asked (`harness.worker.fork_look`)
    lost        what its answers mean: locks, threads, engines, connections
    changes     the change of code against an error, where it is sure
    side_by_side     the same call in forked children and without a fork, watched
    calls       what came of it, and what that means
    finding     what is found: rule, level, place, what it is, what to do
    first       what a probe says before it begins
    screen, sarif    the answer as text, JSON and for code scanning

An *error* is only what is sure or was seen: that a request will wait, fail or be wrong in a child of a fork.
"""
