"""What the `faulty` control can do, by family; the tables say which module of the family does what.

    locks       waits inside one process that never end
    native      waits in C, and what wakes them there
    pauses      waits inside one process that end by themselves
    peers       waits for another process, which a fault starts; some of them never end
    tasks       other tasks of the same worker
    computing   computes for long, or for ever
    endings     errors and exits
    answers     answers that are not the right ones
    loads       what happens while the model is loaded
    unnoticed   what leaves every answer in place, or hardly

A fault is a function of one number, `value`. Every process that a fault starts ends with its worker (`helpers`), and so does
every thread. Python 3.7, standard library at import time.
"""

from harness.backends.faults import answers, computing, endings, loads, locks, native, pauses, peers, tasks, unnoticed

#: Faults of a request.
FAULTS = dict(locks.FAULTS)
for _family in (native, pauses, peers, tasks, computing, endings, unnoticed):
    FAULTS.update(_family.FAULTS)
#: Faults that act when the model is loaded.
LOAD_FAULTS = dict(loads.FAULTS, **unnoticed.LOAD_FAULTS)
#: Faults that act on the answer: (this answer, the right answer of the request before) -> what is answered.
ANSWER_FAULTS = dict(answers.FAULTS, **unnoticed.ANSWER_FAULTS)
#: Faults that a hundredth of `value` is spent on at each request, and all of it when it strikes.
DEAR_FAULTS = computing.DEAR_FAULTS
