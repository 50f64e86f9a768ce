"""The `torch` backend to paste: PyTorch on the CPU."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call


class Cookbook(book.Cookbook):
    model_file = "model.pt"
    imports = "import torch"
    loaded = "torch.load({path}, weights_only=False).eval()"  # a pickle: of your own making alone
    calls = {
        "direct": Call("{model}(torch.from_numpy({rows})).numpy()", within="torch.inference_mode()", imports="import torch"),
    }

    def limits(self, intra, inter):
        return ["torch.set_num_threads(%d)" % intra, "torch.set_num_interop_threads(%d)" % inter]
