"""A model that is answered by a thread which its load starts, as ML libraries do."""

import queue
import threading


class Model:
    def __init__(self, factor):
        self.factor, self.asked = factor, queue.Queue()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            value, answer, done = self.asked.get()
            answer.append(self.factor * value)
            done.set()

    def predict(self, value):
        answer, done = [], threading.Event()
        self.asked.put((value, answer, done))
        done.wait()
        return answer[0]


def load_model(factor):
    return Model(factor)
