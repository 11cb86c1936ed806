"""Writes `tables/learned*`: tiny CLIP and SigLIP models and LPIPS by public implementations. See README.md.

Weights are not committed: they follow from their names by integer arithmetic, here and in `tests/support/weights.rs`.
"""

import base64
import json
import shutil
from pathlib import Path

import lpips
import numpy as np
import sentencepiece
import torch
from PIL import Image
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, PreTrainedTokenizerFast, SiglipConfig, SiglipModel, SiglipTokenizer
from transformers.models.clip.image_processing_clip import CLIPImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip.image_processing_siglip import SiglipImageProcessor

from pictures import grid, lattice, texture

TABLES = Path(__file__).parent / "tables" / "learned"
SCRATCH = Path("/tmp/leoma-learned-references")
TEXT_LENGTH = 16

CORPUS = """a photo of a cat sitting on a red chair
a photo of a dog running over the hill
the camera slowly moves towards the old harbour at dusk
a woman in a blue coat walks along the river
two children play with a ball in the garden
waves break on the rocks while seagulls circle above
a train crosses the bridge in heavy rain
close up of hands kneading dough on a wooden table
a naïve painter sits in a café in Zürich
an astronaut floats above the earth, the sun rises behind
the cat looks at the camera and the dog looks at the cat
slow motion of water drops falling into a glass
a market street in 東京 with neon signs
don't stop, they'll see it's there, we've seen 12345 of them
""".splitlines()

TEXTS = [
    "a photo of a cat",
    "A  Photo,\tof a\n CAT!",
    "",
    "the café in Zürich: naïve, e\u0301te\u0301, 東京 🚀 ½ \u0130",
    "don't they'll 12345 we've",
    "a dog runs over the hill and " * 40,
    "ＦＵＬＬ width ﬁne",
    "a cat<|endoftext|> a dog</s> a train",
    "नमस्ते привет مرحبا",
    "  spaces around  ",
    "_-#@ ...",
]

# Name, height, width: shrunk, enlarged, the very size, one side the model's.
PICTURES = [("wide", 60, 101), ("tall", 97, 50), ("small", 19, 23), ("equal", 32, 32), ("long", 32, 120)]


def fill(name, shape):
    """Weights of a tensor: a hash of its name and of each place, scaled by a power of two."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    count = int(np.prod(shape, dtype=np.int64))
    mixed = (seed + np.arange(count, dtype=np.uint64) * 2654435769) & 0xFFFFFFFF
    for factor in (2146121005, 2221713035):
        mixed = ((mixed ^ (mixed >> 15)) * factor) & 0xFFFFFFFF
    unit = ((mixed ^ (mixed >> 16)) >> 8).astype(np.float64) / (1 << 24) - 0.5
    inputs, halvings = int(np.prod(shape[1:], dtype=np.int64)), 0
    while 1 << (2 * halvings) < inputs:
        halvings += 1
    if name.startswith("lin"):
        values = (unit + 0.5) * 0.25  # what a difference counts is never negative
    elif len(shape) == 1 and "norm" in name and name.endswith("weight"):
        values = 1 + unit * 0.5
    elif len(shape) < 2:
        values = unit * 0.5
    elif "embedding" in name and "patch" not in name or name.endswith("probe"):
        values = unit
    else:
        values = unit * 4 / (1 << halvings)
    return values.reshape(shape)


def fill_model(model):
    """Gives a model its weights; returns their shapes."""
    shapes = {}
    state = model.state_dict()
    for name, value in state.items():
        if value.dtype.is_floating_point and not name.startswith(("lins.", "scaling_layer.")):
            shapes[name] = list(value.shape)
            state[name] = torch.from_numpy(fill(name, shapes[name]))
    for index in range(5):
        if f"lins.{index}.model.1.weight" in state:
            state[f"lins.{index}.model.1.weight"] = state[f"lin{index}.model.1.weight"]
    model.double().eval().load_state_dict(state)
    return shapes


def picture(height, width, salt=0):
    """RGB bytes `[3, height, width]`."""
    column, row = grid(height, width)
    return np.stack([texture(column * 256 + 3_000_000 * c + salt, row * 256) for c in range(3)]).astype(np.uint8)


def spoilt(base):
    """The same under noise."""
    column, row = grid(*base.shape[1:])
    noise = np.stack([lattice(column, row, 99 + c) % 41 - 20 for c in range(3)])
    return np.clip(base.astype(np.int64) + noise, 0, 255).astype(np.uint8)


def clip_tokenizer(folder):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    draft = CLIPTokenizer(vocab={"<|startoftext|>": 0, "<|endoftext|>": 1}, merges=[])._tokenizer
    draft.model = models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix="")
    trainer = trainers.BpeTrainer(vocab_size=560, end_of_word_suffix="</w>", initial_alphabet=alphabet)
    draft.train_from_iterator(CORPUS * 3, trainer)
    merges = [tuple(merge) for merge in json.loads(draft.to_str())["model"]["merges"]]
    tokens = alphabet + [letter + "</w>" for letter in alphabet] + ["".join(merge) for merge in merges]
    tokens = list(dict.fromkeys(tokens)) + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TEXT_LENGTH)
    tokenizer._tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    return tokenizer


def siglip_tokenizer(folder):
    corpus, rules = SCRATCH / "corpus.txt", SCRATCH / "rules.tsv"
    corpus.write_text("\n".join(line.lower() for line in CORPUS * 3), encoding="utf-8")
    # Published models fold compatibility characters by a table of 300 kB; three of its rules do here.
    rules.write_text("FB01\t66 69\n00BD\t31 2044 32\nFF46\t66\n", encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(SCRATCH / "spiece"), vocab_size=115, model_type="unigram",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_tsv=str(rules), minloglevel=2,
    )  # fmt: skip
    reference = SiglipTokenizer(str(SCRATCH / "spiece.model"), model_max_length=TEXT_LENGTH)
    model = ModelProto()
    model.ParseFromString((SCRATCH / "spiece.model").read_bytes())
    # As the published tokenizer.json: what SiglipTokenizer does to a text in Python is part of the normalisation.
    tokenizer = Tokenizer(models.Unigram([(piece.piece, piece.score) for piece in model.pieces], unk_id=2))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Lowercase(),
        normalizers.Replace(Regex(r"""[!"\#$%&'()*+,\-./:;<=>?@\[\\\]\^_`{|}~]"""), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
        normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap),
        normalizers.Replace(Regex(" {2,}"), " "),
    ])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens([AddedToken(name, lstrip=True, rstrip=True, normalized=False) for name in ("</s>", "<unk>")])
    tokenizer.add_special_tokens(["<pad>"])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    ours = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="</s>", eos_token="</s>")
    padded = dict(padding="max_length", truncation=True, max_length=TEXT_LENGTH)
    others = [text for text in TEXTS if ours(text, **padded)["input_ids"] != reference(text, **padded)["input_ids"]]
    print(f"siglip: texts that SiglipTokenizer reads otherwise than tokenizer.json: {others}")
    return ours


def configurations(words):
    text = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, max_position_embeddings=TEXT_LENGTH)
    vision = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=32)
    end = words["clip"].eos_token_id
    yield "clip", CLIPModel, CLIPConfig(
        text_config=dict(text, num_attention_heads=3, vocab_size=len(words["clip"]), eos_token_id=end, pad_token_id=end),
        vision_config=dict(vision, patch_size=8),
        projection_dim=20,
    )
    # A side that is no multiple of the patch: the rest is left out.
    yield "siglip", SiglipModel, SiglipConfig(
        text_config=dict(text, num_attention_heads=4, vocab_size=words["siglip"].vocab_size, projection_size=32),
        vision_config=dict(vision, patch_size=7),
    )


def rounded(values):
    return [float(f"{float(value):.9g}") for value in values]


def text_image(name, kind, config, tokenizer, processors):
    config.save_pretrained(TABLES / name)
    model = kind(config)
    shapes = fill_model(model)
    texts = []
    for text in TEXTS:
        tokens = tokenizer(text, padding="max_length", truncation=True, max_length=TEXT_LENGTH)["input_ids"]
        with torch.no_grad():
            out = model.get_text_features(torch.tensor([tokens]))
        texts.append({"text": text, "tokens": tokens, "embedding": rounded(out.pooler_output[0])})
    pictures, differences = [], []
    slow, fast = processors
    for case, height, width in PICTURES:
        image = Image.fromarray(picture(height, width).transpose(1, 2, 0))
        plain = dict(images=image, return_tensors="np", do_rescale=False, do_normalize=False)
        prepared = np.asarray(slow(**plain)["pixel_values"][0])
        other = np.asarray(fast(**plain)["pixel_values"][0])
        differences.append(np.abs(prepared.astype(int) - other.astype(int)).max())
        with torch.no_grad():
            out = model.get_image_features(slow(images=image, return_tensors="pt")["pixel_values"].double())
        pictures.append({
            "case": case, "height": height, "width": width,
            "prepared": base64.b64encode(prepared.astype(np.uint8).tobytes()).decode(),
            "embedding": rounded(out.pooler_output[0]),
        })  # fmt: skip
    print(f"{name}: preparation with Pillow and with torchvision differ by at most {differences} of 255")
    with torch.no_grad():
        first = [tokenizer(TEXTS[0], padding="max_length", truncation=True, max_length=TEXT_LENGTH)["input_ids"]]
        image = Image.fromarray(picture(60, 101).transpose(1, 2, 0))
        pixels = slow(images=image, return_tensors="pt")["pixel_values"].double()
        logit = model(input_ids=torch.tensor(first), pixel_values=pixels).logits_per_text[0, 0]
    return {"shapes": shapes, "texts": texts, "pictures": pictures, "logit": float(logit)}


def perceptual():
    model = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    shapes = fill_model(model)
    cases = []
    for height, width in [(64, 96), (31, 31), (75, 40)]:
        left = picture(height, width)
        for other, right in [("noise", spoilt(left)), ("unrelated", picture(height, width, 10_000_000)), ("same", left)]:
            pair = (torch.from_numpy(part / 255.0)[None] for part in (left, right))
            with torch.no_grad():
                value = float(model(*pair, normalize=True))
            cases.append({"height": height, "width": width, "other": other, "distance": value})
    return {"shapes": shapes, "cases": cases}


def main():
    for folder in (SCRATCH, TABLES / "clip", TABLES / "siglip"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    words = {"clip": clip_tokenizer(TABLES / "clip"), "siglip": siglip_tokenizer(TABLES / "siglip")}
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    square = {"size": {"height": 32, "width": 32}}
    processors = {
        "clip": (CLIPImageProcessorPil(**size), CLIPImageProcessor(**size)),
        "siglip": (SiglipImageProcessorPil(**square), SiglipImageProcessor(**square)),
    }
    for name, kind, config in configurations(words):
        write(name, text_image(name, kind, config, words[name], processors[name]))
    write("lpips", perceptual())
    shutil.rmtree(SCRATCH)


def write(name, table):
    (TABLES / f"{name}.json").write_text(json.dumps(table, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
