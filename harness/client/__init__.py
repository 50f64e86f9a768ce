"""The client: an unpatched process of its own that publishes requests when their time has come, and takes the answers.

Run by `trial` as `python -m harness.client PLAN.json`. What lives where:

    plan        what the driver asks for, and what names a request; the driver imports it to start it
    wire        Celery's own message, published and answered over two plain sockets
    amqp_wire   the same to a RabbitMQ; amqp_frames: what it hears from it
    deck        which row each request takes, by the seed; the driver imports it, too
    schedule    when requests of open traffic are to be sent, and which of them were late
    peak        the highest rate that keeps a latency: which rate to try next, and whether a step kept it
    generator   the phases: first, warmup, search, measure, drain
    log         every request's moments, and their table
    sending     what the client itself has to say of a trial
"""
