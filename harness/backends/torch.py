"""The `torch` backend: PyTorch on the CPU, a Sequential of its own layers, given the weights of the bundle.

What differs from Keras: images are (channels, height, width), and a Linear holds its kernel turned. So a convolution's rows are
brought into that form by a reshape, which is right for one channel, and the kernel behind a Flatten has its inputs in the other
order. Its intra-op threads are OpenMP's (libgomp), started when something is large enough to be shared out.

Weights are put in place without a copy, as `torch.load` of a whole model does. Copying a large one starts OpenMP's threads:
digits-mlp loaded so at import hung in a forked child (2.13), and did not when its weights were put in place. `load_state_dict`
copies: two layers of 784 and 512 inputs hung so after it, and ended without it.
"""

from harness.backends import UnsupportedLayer, bundle, plain_layers

CALLS = ("direct", "plain", "one-thread", "data-loader")
LAYERS = ("Dense", "Conv2D", "MaxPooling2D", "Flatten", "Dropout")

#: Keras' name -> the class in torch.nn, '' for none
ACTIVATIONS = {"linear": "", "relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid"}


class Backend:
    """See `harness.backends` for the protocol. A model is the Sequential itself."""

    name = "torch"

    def __init__(self):
        self.intra = self.inter = None

    def configure(self, intra, inter, cache_dir):
        self.intra, self.inter = intra, inter

    def import_library(self, bundle_dir):
        import torch

        if self.intra is not None:
            torch.set_num_threads(self.intra)
        if self.inter is not None and torch.get_num_interop_threads() != self.inter:
            torch.set_num_interop_threads(self.inter)  # raises if asked a second time
        return torch

    def build(self, bundle_dir):
        torch = self.import_library(bundle_dir)
        layers = plain_layers.read(bundle_dir)
        return _sequential(torch, layers, bundle.read_model(bundle_dir)["input_shape"])

    def load(self, bundle_dir):
        torch = self.import_library(bundle_dir)
        layers = plain_layers.read(bundle_dir)
        model = _sequential(torch, layers, bundle.read_model(bundle_dir)["input_shape"])
        _set_weights(torch, model, layers)
        return model.eval()

    def caller(self, model, call):
        return CALLERS[call](model)

    def save(self, model, path):
        import torch

        torch.save(model, path)

    def versions(self):
        import torch

        return {"torch": torch.__version__}


def _sequential(torch, layers, shape):
    """The modules, with weights that PyTorch chose at random. `shape`: of one row."""
    plain_layers.refuse(layers, "a Sequential of ours", LAYERS)
    modules, shape = [], tuple(shape)
    if len(shape) == 3:
        if shape[2] != 1:
            raise UnsupportedLayer(layers[0].name, "rows with %d channels; ours are brought into order for one" % shape[2])
        modules += [torch.nn.Flatten(), torch.nn.Unflatten(1, (1,) + shape[:2])]
    for layer in layers:
        made, shape = BUILDERS[layer.name](torch, layer.config, shape)
        modules += made
        name = layer.config.get("activation", "linear")
        if name not in ACTIVATIONS:
            raise UnsupportedLayer(layer.name, "activation=%s" % name)
        modules += [getattr(torch.nn, ACTIVATIONS[name])()] if ACTIVATIONS[name] else []
    return torch.nn.Sequential(*modules)


def _dense(torch, config, shape):
    if len(shape) != 1:
        raise UnsupportedLayer("Dense", "rows of %d dimensions" % len(shape))
    return [torch.nn.Linear(shape[0], config["units"])], (config["units"],)


def _conv2d(torch, config, shape):
    size, padding = tuple(config["kernel_size"]), config.get("padding", "valid")
    if padding == "same" and any(length % 2 == 0 for length in size):
        raise UnsupportedLayer("Conv2D", "an even kernel with same padding")
    height, width = shape[:2] if padding == "same" else [n - k + 1 for n, k in zip(shape, size)]
    made = torch.nn.Conv2d(shape[2], config["filters"], size, padding=padding)
    return [made], (height, width, config["filters"])


def _max_pooling2d(torch, config, shape):
    size = tuple(config["pool_size"])
    return [torch.nn.MaxPool2d(size)], (shape[0] // size[0], shape[1] // size[1], shape[2])


def _flatten(torch, config, shape):
    count = 1
    for length in shape:
        count *= length
    return [torch.nn.Flatten()], (count,)


def _dropout(torch, config, shape):
    return [torch.nn.Dropout(config["rate"])], shape


BUILDERS = dict(zip(LAYERS, (_dense, _conv2d, _max_pooling2d, _flatten, _dropout)))


def _set_weights(torch, model, layers):
    """Keras' kernels, (inputs, units) and (height, width, inputs, filters), as torch wants them."""
    holders = [module for module in model if hasattr(module, "weight")]
    channels = None  # of what is flattened, until a Dense has taken it
    for layer in layers:
        if not layer.weights:
            continue
        (kernel, bias), module = layer.weights, holders.pop(0)
        if kernel.ndim == 4:
            channels, kernel = kernel.shape[3], kernel.transpose(3, 2, 0, 1)
        else:
            if channels is not None:  # from (place, channel) to (channel, place)
                kernel = kernel.reshape(-1, channels, kernel.shape[1]).swapaxes(0, 1).reshape(kernel.shape)
            channels, kernel = None, kernel.T
        module.weight = torch.nn.Parameter(torch.from_numpy(kernel.copy()))
        module.bias = torch.nn.Parameter(torch.from_numpy(bias))


def _direct(model):
    import torch

    def answer(rows):
        with torch.inference_mode():
            return model(torch.from_numpy(rows)).numpy()

    return answer


def _plain(model):
    import torch

    return lambda rows: model(torch.from_numpy(rows)).detach().numpy()


def _one_thread(model):
    import torch

    direct = _direct(model)

    def answer(rows):
        torch.set_num_threads(1)
        return direct(rows)

    return answer


def _data_loader(model):
    import torch
    import torch.utils.data

    def answer(rows):
        with torch.inference_mode():
            loader = torch.utils.data.DataLoader(torch.from_numpy(rows), batch_size=len(rows), num_workers=1)
            return model(next(iter(loader))).numpy()

    return answer


CALLERS = dict(zip(CALLS, (_direct, _plain, _one_thread, _data_loader)))
