"""Serves a tiny language model, made on the spot from random numbers, until its standard input ends.

It prints its address as one line. Nothing is fetched: what it says means nothing, but llama.cpp itself says it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

CONTEXT_TOKENS = 2_048
WIDTH, INNER, HEADS = 32, 64, 2
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def build_words() -> list[tuple[str, gguf.TokenType]]:
    """Every byte, and the printable characters of ASCII."""
    special = [("<unk>", gguf.TokenType.UNKNOWN), ("<s>", gguf.TokenType.CONTROL), ("</s>", gguf.TokenType.CONTROL)]
    bytes_ = [(f"<0x{byte:02X}>", gguf.TokenType.BYTE) for byte in range(256)]
    letters = [(chr(code) if code != 32 else "\u2581", gguf.TokenType.NORMAL) for code in range(32, 127)]
    return [*special, *bytes_, *letters]


def write_model(path: Path) -> None:
    """Write a Llama of one layer, 140 KB in all."""
    random = np.random.default_rng(7)
    words = build_words()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(words))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([word for word, _ in words])
    writer.add_token_scores([-float(place) for place, _ in enumerate(words)])
    writer.add_token_types([kind for _, kind in words])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    shapes = {
        "token_embd": (len(words), WIDTH),
        "output": (len(words), WIDTH),
        "blk.0.ffn_gate": (INNER, WIDTH),
        "blk.0.ffn_up": (INNER, WIDTH),
        "blk.0.ffn_down": (WIDTH, INNER),
        **{f"blk.0.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")},
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", (random.standard_normal(shape) * 0.3).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def serve(path: Path) -> None:
    """Serve it on loopback, at a port that is free."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.warmup = False
    parameters.cpuparams.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # its threads may still be writing


if __name__ == "__main__":
    place = Path(sys.argv[1])
    write_model(place)
    serve(place)
