"""The models of peers.py in plain jax.numpy, jitted: the weights are a checkpoint's, by their names there."""

import jax
from jax import lax
from jax import numpy as jnp


def jitted(function, model, inputs):
    """A call of a function below, on a PyTorch model's weights and on inputs of PyTorch's."""
    weights = {name: jnp.asarray(value.numpy()) for name, value in model.state_dict().items()}
    inputs = jnp.asarray(inputs.numpy())
    compiled = jax.jit(lambda weights, inputs: function(Layers(weights), inputs, model.config))
    return lambda: compiled(weights, inputs).block_until_ready()


def bert(at, ids, config):
    table = lambda name: at.weights[f"embeddings.{name}_embeddings.weight"]
    x = table("word")[ids] + table("position")[: ids.shape[1]] + table("token_type")[0]
    x = at.norm(x, "embeddings.LayerNorm", config.layer_norm_eps)
    for block in (f"encoder.layer.{n}" for n in range(config.num_hidden_layers)):
        qkv = [at.linear(x, f"{block}.attention.self.{part}") for part in ("query", "key", "value")]
        mixed = at.linear(attention(*qkv, config.num_attention_heads), f"{block}.attention.output.dense")
        x = at.norm(x + mixed, f"{block}.attention.output.LayerNorm", config.layer_norm_eps)
        inner = jax.nn.gelu(at.linear(x, f"{block}.intermediate.dense"), approximate=False)
        x = at.norm(x + at.linear(inner, f"{block}.output.dense"), f"{block}.output.LayerNorm", config.layer_norm_eps)
    return x


def gpt2_prefill(at, ids, config):
    return gpt2(at, ids, config, gpt2_cache(config, ids.shape[1]), 0)[0]


def gpt2_decode(at, prompt, config, tokens):
    """So many tokens after the prompt, greedily."""
    length = prompt.shape[1]
    cache = gpt2_cache(config, length + tokens)

    def step(position, state):
        made, ids, cache = state
        logits, cache = gpt2(at, ids, config, cache, length + position - 1)
        return made.at[:, position].set(logits[:, -1].argmax(-1)), logits[:, -1:].argmax(-1), cache

    logits, cache = gpt2(at, prompt, config, cache, 0)
    first = logits[:, -1:].argmax(-1)
    made = jnp.zeros((1, tokens), first.dtype).at[:, :1].set(first)
    return lax.fori_loop(1, tokens, step, (made, first, cache))[0]


def gpt2_cache(config, length):
    return jnp.zeros((config.n_layer, 2, 1, length, config.n_embd))


def gpt2(at, ids, config, cache, start):
    """Logits of the ids, which stand at `start`, and the cache of keys and values with theirs in it."""
    epsilon = config.layer_norm_epsilon
    positions = start + jnp.arange(ids.shape[1])
    earlier = jnp.arange(cache.shape[3]) <= positions[:, None]
    x = at.weights["transformer.wte.weight"][ids] + at.weights["transformer.wpe.weight"][positions]
    for n in range(config.n_layer):
        block = f"transformer.h.{n}"
        normed = at.norm(x, f"{block}.ln_1", epsilon)
        query, *new = jnp.split(at.transposed(normed, f"{block}.attn.c_attn"), 3, axis=-1)
        cache = lax.dynamic_update_slice(cache, jnp.stack(new)[None], (n, 0, 0, start, 0))
        mixed = attention(query, *cache[n], config.n_head, earlier)
        x += at.transposed(mixed, f"{block}.attn.c_proj")
        inner = at.transposed(at.norm(x, f"{block}.ln_2", epsilon), f"{block}.mlp.c_fc")
        x += at.transposed(jax.nn.gelu(inner, approximate=True), f"{block}.mlp.c_proj")
    return at.norm(x, "transformer.ln_f", epsilon) @ at.weights["lm_head.weight"].T, cache


def vit(at, pixels, config):
    epsilon, size = config.layer_norm_eps, config.patch_size
    patches = at.convolve(pixels, "embeddings.patch_embeddings.projection", (size, size), "VALID")
    patches = patches.reshape(*patches.shape[:2], -1).swapaxes(1, 2)
    x = jnp.concatenate([at.weights["embeddings.cls_token"], patches], 1)
    x += at.weights["embeddings.position_embeddings"]
    for block in (f"encoder.layer.{n}" for n in range(config.num_hidden_layers)):
        normed = at.norm(x, f"{block}.layernorm_before", epsilon)
        qkv = [at.linear(normed, f"{block}.attention.attention.{part}") for part in ("query", "key", "value")]
        x += at.linear(attention(*qkv, config.num_attention_heads), f"{block}.attention.output.dense")
        inner = at.linear(at.norm(x, f"{block}.layernorm_after", epsilon), f"{block}.intermediate.dense")
        x += at.linear(jax.nn.gelu(inner, approximate=False), f"{block}.output.dense")
    return at.norm(x, "layernorm", epsilon)


def whisper_encoder(at, features, config):
    gelu = lambda x: jax.nn.gelu(x, approximate=False)
    x = gelu(at.convolve(features, "conv1", (1,), [(1, 1)]))
    x = gelu(at.convolve(x, "conv2", (2,), [(1, 1)])).swapaxes(1, 2)
    x += at.weights["embed_positions.weight"]
    for block in (f"layers.{n}" for n in range(config.encoder_layers)):
        normed = at.norm(x, f"{block}.self_attn_layer_norm", 1e-5)
        qkv = [at.linear(normed, f"{block}.self_attn.{part}_proj") for part in "qkv"]
        x += at.linear(attention(*qkv, config.encoder_attention_heads), f"{block}.self_attn.out_proj")
        inner = at.linear(at.norm(x, f"{block}.final_layer_norm", 1e-5), f"{block}.fc1")
        x += at.linear(gelu(inner), f"{block}.fc2")
    return at.norm(x, "layer_norm", 1e-5)


class Layers:
    """Layers by the names of their weights."""

    def __init__(self, weights):
        self.weights = weights

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0)

    def transposed(self, x, name):
        return x @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def norm(self, x, name, epsilon):
        centred = x - x.mean(-1, keepdims=True)
        unit = centred / ((centred**2).mean(-1, keepdims=True) + epsilon) ** 0.5
        return unit * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def convolve(self, x, name, strides, padding):
        bias = self.weights[f"{name}.bias"].reshape(-1, *(1 for _ in strides))
        return lax.conv_general_dilated(x, self.weights[f"{name}.weight"], strides, padding) + bias


def attention(query, key, value, heads, mask=None):
    split = lambda x: x.reshape(*x.shape[:2], heads, -1)
    mask = None if mask is None else mask[None, None]
    return jax.nn.dot_product_attention(split(query), split(key), split(value), mask=mask).reshape(query.shape)
