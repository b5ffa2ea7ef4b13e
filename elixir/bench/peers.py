"""What others take, timed one call after another, beside models.exs and ops.exs.

    peers.py make NAME FOLDER    writes the model NAME with random weights
    peers.py NAME FOLDER         loads it, and answers lines
    peers.py ops -               answers lines of the operations in ops.py

`CASE ways` by the ways in which a case is there, `CASE WAY warm` by the mean magnitude of what a call gives,
and `CASE WAY time` by the median time of a call in nanoseconds. The ways are `torch`, which is Transformers'
model as it comes, and `jax`, which is the same in jax_models.py; of operations `numpy` and `mlx` too. peers.txt pins what is installed.
"""

import statistics
import sys
import time

import numpy
import torch
import transformers

import jax_models
import ops

THREADS = 2
# Calls fill this time, and are one at least.
SAMPLED_NS = 500_000_000
TOKENS = 64


def main():
    torch.set_num_threads(THREADS)
    transformers.logging.set_verbosity_error()
    if sys.argv[1] == "make":
        make(*sys.argv[2:])
    else:
        answer(cases(*sys.argv[1:]))


def make(name, folder):
    torch.manual_seed(0)
    model = {
        "gpt2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config()),
        "vit": lambda: transformers.ViTModel(transformers.ViTConfig()),
    }[name]()
    model.save_pretrained(folder)


def answer(calls):
    for line in sys.stdin:
        case, *way, what = line.split()
        if what == "ways":
            print(*(way for known, way in calls if known == case), flush=True)
        elif what == "warm":
            print(float(abs(numpy.asarray(calls[case, *way](), "float64")).mean()), flush=True)
        else:
            print(median(calls[case, *way]), flush=True)


def median(call):
    samples = []
    while sum(samples) < SAMPLED_NS:
        start = time.perf_counter_ns()
        call()
        samples.append(time.perf_counter_ns() - start)
    return statistics.median_high(samples)


def cases(name, folder):
    """The calls that can be asked for, by case and way."""
    if name == "ops":
        return ops.calls(THREADS)
    return {"minilm": minilm, "gpt2": gpt2, "vit": vit, "whisper": whisper}[name](folder)


def minilm(folder):
    model = transformers.BertModel.from_pretrained(folder).eval()
    calls = {}
    for batch in (1, 32):
        case, ids = f"batch_{batch}", tokens(batch, 128)
        calls[case, "torch"] = forward(model, "last_hidden_state", input_ids=ids)
        calls[case, "jax"] = jax_models.jitted(jax_models.bert, model, ids)
    return calls


def gpt2(folder):
    model = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = tokens(1, 128)
    return {
        ("prefill", "torch"): forward(model, "logits", input_ids=ids),
        ("prefill", "jax"): jax_models.jitted(jax_models.gpt2_prefill, model, ids),
        ("decode", "torch"): lambda: greedy(model, "input_ids", ids),
        ("decode", "jax"): jax_models.jitted(
            lambda at, prompt, config: jax_models.gpt2_decode(at, prompt, config, TOKENS), model, ids
        ),
    }


def vit(folder):
    model = transformers.ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    pixels = wave(1, 224, 224, 3).permute(0, 3, 1, 2)
    return {
        ("image", "torch"): forward(model, "last_hidden_state", pixel_values=pixels),
        ("image", "jax"): jax_models.jitted(jax_models.vit, model, pixels),
    }


def whisper(folder):
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder).eval()
    features = wave(1, 3000, 80).permute(0, 2, 1)
    encoder = model.get_encoder()
    with torch.inference_mode():
        encoded = encoder(features)
    start = torch.zeros((1, 1), dtype=torch.int64)
    return {
        ("encoder", "torch"): forward(encoder, "last_hidden_state", input_features=features),
        ("encoder", "jax"): jax_models.jitted(jax_models.whisper_encoder, encoder, features),
        ("decode", "torch"): lambda: greedy(model, "decoder_input_ids", start, encoder_outputs=encoded),
    }


def tokens(batch, length):
    return (torch.arange(batch * length) * 37 % 1000).reshape(batch, length)


def wave(*shape):
    count = numpy.prod(shape)
    return (torch.arange(count, dtype=torch.float32) % 1000 / 1000).reshape(shape)


def forward(model, output, **inputs):
    def call():
        with torch.inference_mode():
            return model(**inputs)[output]

    return call


@torch.inference_mode()
def greedy(model, name, ids, **inputs):
    """As many tokens whatever they are: none ends the text. A cache keeps what is known of the earlier ones."""
    made, cache = [], None
    for _ in range(TOKENS):
        out = model(**{name: ids}, **inputs, past_key_values=cache, use_cache=True)
        cache, ids = out.past_key_values, out.logits[:, -1:].argmax(-1)
        made.append(ids)
    return torch.cat(made, 1)


if __name__ == "__main__":
    main()
