"""The operations of ops.exs by NumPy, JAX (jitted), PyTorch and MLX as it comes, on the same inputs."""

import math

import jax
import mlx.core as mx
import numpy
import torch
from jax import lax
from jax import numpy as jnp

WIDE = 4_194_304


def calls(threads):
    """The calls that can be asked for, by case and way."""
    torch.set_num_threads(threads)
    made = {}
    for case, inputs, ways in cases():
        for way, function in ways.items():
            made[case, way] = bound(way, function, inputs)
    return made


def bound(way, function, inputs):
    """A call that returns when the result is there."""
    if way == "numpy":
        return lambda: function(*inputs)
    if way == "jax":
        arrays = [jnp.asarray(x) for x in inputs]
        compiled = jax.jit(function)
        return lambda: host(compiled(*arrays).block_until_ready())
    if way == "torch":
        tensors = [torch.from_numpy(x.copy()) for x in inputs]

        def call():
            with torch.inference_mode():
                return function(*tensors)

        return call
    arrays = [mx.array(x) for x in inputs]
    mx.set_default_device(mx.cpu)

    def call():
        result = function(*arrays)
        mx.eval(result)
        return Lazily(result)

    return call


def host(result):
    return result.astype(jnp.float32) if result.dtype in (jnp.bfloat16, jnp.float16) else result


class Lazily:
    """NumPy's view of MLX's array, made only where a checksum asks for it."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return numpy.asarray(self.array.astype(mx.float32), dtype)


def wave(*shape, step=37):
    count = math.prod(shape)
    remainders = (numpy.arange(count, dtype="int64") * step % 1000).astype("float32")
    return (remainders / numpy.float32(500) - numpy.float32(1)).reshape(shape)


def scattered(count, below):
    return numpy.arange(count, dtype="int64") * 7919 % below


def cases():
    wide = [wave(WIDE)]
    positive = [wide[0] + numpy.float32(1.5)]
    yield "exp", wide, ways("exp")
    yield "log", positive, ways("log")
    yield "tanh", wide, ways("tanh")
    yield "sin", wide, ways("sin")
    yield "sigmoid", wide, dict(jax=jax.nn.sigmoid, torch=torch.sigmoid, mlx=mx.sigmoid)
    yield "erf", wide, dict(jax=lax.erf, torch=torch.erf, mlx=mx.erf)
    power = [positive[0], wave(WIDE, step=73)]
    yield "pow", power, dict(numpy=numpy.power, jax=jnp.power, torch=torch.pow, mlx=mx.power)
    yield "add", [wide[0], wave(WIDE, step=73)], ways("add")
    yield "gelu", wide, dict(
        jax=lambda x: jax.nn.gelu(x, approximate=False),
        torch=torch.nn.functional.gelu,
        mlx=lambda x: x * (1 + mx.erf(x / math.sqrt(2))) / 2,
    )
    yield "chain", wide, dict(
        jax=lambda x: jnp.tanh(x / 2 + 0.1) * x + jnp.exp(-x * x),
        torch=lambda x: torch.tanh(x / 2 + 0.1) * x + torch.exp(-x * x),
        mlx=lambda x: mx.tanh(x / 2 + 0.1) * x + mx.exp(-x * x),
    )
    yield "softmax", [wave(1024, 1024)], dict(
        jax=jax.nn.softmax, torch=lambda x: torch.softmax(x, -1), mlx=lambda x: mx.softmax(x, -1)
    )
    yield "sum", wide, ways("sum")
    yield "layer_norm", [wave(4096, 1024), wave(1024), wave(1024, step=73)], dict(
        jax=jax_layer_norm,
        torch=lambda x, w, b: torch.nn.functional.layer_norm(x, (1024,), w, b),
        mlx=lambda x, w, b: mx.fast.layer_norm(x, w, b, 1e-5),
    )
    yield "cumsum", [wave(4096, 1024)], dict(
        numpy=lambda x: numpy.cumsum(x, 1),
        jax=lambda x: jnp.cumsum(x, 1),
        torch=lambda x: torch.cumsum(x, 1),
        mlx=lambda x: mx.cumsum(x, 1),
    )
    mixed = [scattered(1 << 20, 1_048_573).astype("float32")]
    yield "sort", mixed, dict(
        numpy=numpy.sort, jax=jnp.sort, torch=lambda x: torch.sort(x).values, mlx=mx.sort
    )
    yield "argsort", mixed, dict(
        numpy=lambda x: numpy.argsort(x, kind="stable"),
        jax=lambda x: jnp.argsort(x, stable=True),
        torch=lambda x: torch.argsort(x, stable=True),
        mlx=mx.argsort,
    )
    table, rows = wave(65_536, 384), scattered(65_536, 65_521)
    yield "gather", [table, rows], dict(
        numpy=lambda x, i: x[i], jax=lambda x, i: x[i], torch=lambda x, i: x[i], mlx=lambda x, i: x[i]
    )
    for size in (256, 512, 1024, 2048):
        yield f"matmul_{size}", [wave(size, size), wave(size, size, step=73)], ways("matmul")
    yield "matmuls", [wave(96, 128, 64), wave(96, 64, 128, step=73)], ways("matmul")
    for name, kinds in narrow().items():
        yield f"matmul_{name}", [wave(1024, 1024), wave(1024, 1024, step=73)], kinds
    yield "conv", [wave(8, 32, 64, 64), wave(32, 32, 3, 3, step=73)], dict(
        jax=lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "SAME"),
        torch=lambda x, k: torch.nn.functional.conv2d(x, k, padding=1),
        mlx=lambda x, k: mx.conv2d(x.transpose(0, 2, 3, 1), k.transpose(0, 2, 3, 1), padding=1),
    )
    heads = [wave(8, 12, 128, 64, step=step) for step in (37, 73, 91)]
    yield "attention", heads, dict(
        jax=jax_attention,
        torch=torch.nn.functional.scaled_dot_product_attention,
        mlx=lambda q, k, v: mx.fast.scaled_dot_product_attention(q, k, v, scale=0.125),
    )
    yield "max_pool", [wave(8, 32, 64, 64)], dict(
        jax=lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"),
        torch=lambda x: torch.nn.functional.max_pool2d(x, 2),
    )
    megabytes = [wave(1 << 20)]
    yield "from_binary", megabytes, dict(memcpy=numpy.copy)
    yield "to_binary", megabytes, dict(memcpy=numpy.copy)


def ways(name):
    """An operation that all of them call so."""
    libraries = dict(numpy=numpy, jax=jnp, torch=torch, mlx=mx)
    return {way: getattr(library, name) for way, library in libraries.items()}


def narrow():
    """Products of matrices in 16 bits; the operands are rounded before they are timed, by the first call."""

    def product(cast):
        kept = {}

        def call(a, b):
            if not kept:
                kept["operands"] = cast(a), cast(b)
            left, right = kept["operands"]
            return (left @ right)

        return call

    kinds = {}
    for name, of_torch, of_mlx, of_jax in (
        ("bf16", torch.bfloat16, mx.bfloat16, jnp.bfloat16),
        ("f16", torch.float16, mx.float16, jnp.float16),
    ):
        by_torch = product(lambda x, dtype=of_torch: x.to(dtype))
        kinds[name] = dict(
            jax=lambda a, b, dtype=of_jax: a.astype(dtype) @ b.astype(dtype),
            torch=lambda a, b, call=by_torch: Torch(call(a, b)),
            mlx=product(lambda x, dtype=of_mlx: x.astype(dtype)),
        )
    return kinds


class Torch:
    """NumPy's view of PyTorch's 16 bits, made only where a checksum asks for it."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __array__(self, dtype=None, copy=None):
        return self.tensor.float().numpy().astype(dtype or "float32")


def jax_layer_norm(x, weight, bias):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-5) * weight + bias


def jax_attention(q, k, v):
    scores = jnp.einsum("bhqd,bhkd->bhqk", q, k) / 8
    return jnp.einsum("bhqk,bhkd->bhqd", jax.nn.softmax(scores, -1), v)
