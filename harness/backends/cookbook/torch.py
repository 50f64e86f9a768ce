"""The `torch` backend to paste: PyTorch on the CPU."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call

DIRECT = Call("{model}(torch.from_numpy({rows})).numpy()", within="torch.inference_mode()", imports="import torch")


class Cookbook(book.Cookbook):
    model_file = "model.pt"
    imports = "import torch"
    loaded = "torch.load({path}, weights_only=False).eval()"  # a pickle: of your own making alone
    calls = {
        "direct": DIRECT,
        "plain": Call("{model}(torch.from_numpy({rows})).detach().numpy()", imports="import torch"),
        "one-thread": DIRECT._replace(imports="import torch\ntorch.set_num_threads(1)"),
        "data-loader": Call(
            "{model}(next(iter(DataLoader(torch.from_numpy({rows}), batch_size=len({rows}), num_workers=1)))).numpy()",
            within="torch.inference_mode()",
            imports="import torch\nfrom torch.utils.data import DataLoader",
        ),
    }

    def limits(self, intra, inter):
        return ["torch.set_num_threads(%d)" % intra, "torch.set_num_interop_threads(%d)" % inter]
