"""The networks of the table, each made with random weights, in evaluation mode, together with inputs for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

#: The arguments of `forward` by name: tensors, or lists of tensors.
Inputs = Mapping[str, object]


@dataclass(frozen=True)
class Network:
    """One network: its package, and a function that makes it and its inputs. Its files need `imports` to be loaded."""

    package: str
    name: str
    make: Callable[[], tuple[torch.nn.Module, Inputs]]
    imports: tuple[str, ...] = ()


def networks() -> list[Network]:
    """Every network, in the order of the table."""
    return [*_transformers(), *_timm(), *_torchvision()]


# --- transformers: small configurations of each architecture ---

_SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 99,
}
_TEXT = ("input_ids", "attention_mask")


def _transformers() -> list[Network]:
    return [
        _text("BERT", "BertModel", **_SMALL),
        _text("RoBERTa", "RobertaModel", **_SMALL),
        _text("DistilBERT", "DistilBertModel", dim=64, n_layers=2, n_heads=4, hidden_dim=128, vocab_size=99),
        _text("ALBERT", "AlbertModel", embedding_size=32, **_SMALL),
        _text("ELECTRA", "ElectraModel", embedding_size=32, **_SMALL),
        _text("DeBERTa-v2", "DebertaV2Model", **_SMALL),
        _text("MPNet", "MPNetModel", **_SMALL),
        _text("BERT, sequences classified", "BertForSequenceClassification", **_SMALL),
        _text("GPT-2", "GPT2LMHeadModel", n_embd=64, n_layer=2, n_head=4, vocab_size=99, use_cache=False),
        _text("Llama", "LlamaForCausalLM", num_key_value_heads=2, use_cache=False, **_SMALL),
        _text("Mistral", "MistralForCausalLM", num_key_value_heads=2, use_cache=False, **_SMALL),
        _text("Qwen2", "Qwen2ForCausalLM", num_key_value_heads=2, use_cache=False, **_SMALL),
        _text(
            "OPT",
            "OPTForCausalLM",
            ffn_dim=128,
            word_embed_proj_dim=64,
            use_cache=False,
            **_without("intermediate_size"),
        ),
        _encoder_decoder("T5", "T5ForConditionalGeneration", d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4),
        _encoder_decoder(
            "BART",
            "BartForConditionalGeneration",
            d_model=64,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=128,
            decoder_ffn_dim=128,
        ),
        _pixels("ViT", "ViTModel", **_without("vocab_size")),
        _pixels("DeiT", "DeiTModel", **_without("vocab_size")),
        _pixels(
            "Swin",
            "SwinModel",
            embed_dim=24,
            depths=[2, 2],
            num_heads=[2, 4],
            window_size=4,
            image_size=32,
            patch_size=2,
        ),
        _pixels("CLIP's image encoder", "CLIPVisionModel", config="CLIPVisionConfig", **_without("vocab_size")),
        _features("Whisper's encoder"),
        _waves("wav2vec 2.0"),
    ]


def _without(name: str) -> dict[str, int]:
    return {key: value for key, value in _SMALL.items() if key != name}


def _made(model: str, config: str | None = None, **settings: object) -> torch.nn.Module:
    import transformers

    kind = getattr(transformers, model)
    configuration = getattr(transformers, config) if config else kind.config_class
    return kind(configuration(**settings)).eval()


def _text(name: str, model: str, **settings: object) -> Network:
    def make() -> tuple[torch.nn.Module, Inputs]:
        mask = torch.ones(2, 12, dtype=torch.int64)
        mask[1, 7:] = 0
        return _made(model, **settings), {"input_ids": torch.randint(3, 99, (2, 12)), "attention_mask": mask}

    return Network("transformers", name, make)


def _encoder_decoder(name: str, model: str, **settings: object) -> Network:
    def make() -> tuple[torch.nn.Module, Inputs]:
        inputs = {"input_ids": torch.randint(3, 99, (2, 12)), "decoder_input_ids": torch.randint(3, 99, (2, 5))}
        return _made(model, vocab_size=99, use_cache=False, **settings), inputs

    return Network("transformers", name, make)


def _pixels(name: str, model: str, config: str | None = None, **settings: object) -> Network:
    settings = {"image_size": 32, "patch_size": 8, **settings}
    return Network(
        "transformers", name, lambda: (_made(model, config, **settings), {"pixel_values": torch.rand(2, 3, 32, 32)})
    )


def _features(name: str) -> Network:
    def make() -> tuple[torch.nn.Module, Inputs]:
        model = _made(
            "WhisperModel",
            d_model=64,
            encoder_layers=2,
            decoder_layers=1,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=128,
            decoder_ffn_dim=128,
            max_source_positions=50,
        )
        return model.get_encoder(), {"input_features": torch.rand(2, 80, 100)}

    return Network("transformers", name, make)


def _waves(name: str) -> Network:
    def make() -> tuple[torch.nn.Module, Inputs]:
        model = _made(
            "Wav2Vec2Model", conv_dim=(32,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, **_SMALL
        )
        return model, {"input_values": torch.rand(2, 4000)}

    return Network("transformers", name, make)


# --- timm: one network of each family ---

_TIMM = """
    resnet18 efficientnet_b0 mobilenetv3_small_050 convnext_atto swin_tiny_patch4_window7_224 vit_tiny_patch16_224
    deit_tiny_patch16_224 mixer_s32_224 regnetx_002 densenet121 ghostnet_100 hrnet_w18_small poolformer_s12
    edgenext_xx_small levit_128s maxvit_pico_rw_256 mobilevit_xxs repvgg_a0 fastvit_t8
"""


def _timm() -> list[Network]:
    return [_timm_network(name) for name in _TIMM.split()]


def _timm_network(name: str) -> Network:
    def make() -> tuple[torch.nn.Module, Inputs]:
        import timm

        model = timm.create_model(name, pretrained=False).eval()
        return model, {"x": torch.rand(2, *model.default_cfg["input_size"])}

    return Network("timm", name, make)


# --- torchvision ---

_CLASSIFIERS = """
    resnet18 squeezenet1_0 googlenet inception_v3 shufflenet_v2_x0_5 mobilenet_v2 mnasnet0_5 efficientnet_b0
    regnet_y_400mf convnext_tiny swin_t
"""
_SEGMENTATION = {"deeplabv3_mobilenet_v3_large": "x", "lraspp_mobilenet_v3_large": "input"}
_DETECTION = "fasterrcnn_mobilenet_v3_large_320_fpn ssdlite320_mobilenet_v3_large"
_SIDES = {"inception_v3": 299}


def _torchvision() -> list[Network]:
    return [
        *(_vision(name, "x", _SIDES.get(name, 224)) for name in _CLASSIFIERS.split()),
        *(_vision(name, parameter, 128, weights_backbone=None) for name, parameter in _SEGMENTATION.items()),
        *(_detector(name) for name in _DETECTION.split()),
        Network("torchvision", "r3d_18", lambda: (_torchvision_model("r3d_18"), {"x": torch.rand(1, 3, 8, 56, 56)})),
    ]


def _torchvision_model(name: str, **settings: object) -> torch.nn.Module:
    from torchvision.models import get_model

    settings = {"init_weights": True, **settings} if name in ("googlenet", "inception_v3") else settings
    return get_model(name, weights=None, **settings).eval()


def _vision(name: str, parameter: str, side: int, **settings: object) -> Network:
    return Network(
        "torchvision",
        name,
        lambda: (_torchvision_model(name, **settings), {parameter: torch.rand(2, 3, side, side)}),
    )


def _detector(name: str) -> Network:
    def make() -> tuple[torch.nn.Module, Inputs]:
        model = _torchvision_model(name, weights_backbone=None)
        return model, {"images": [torch.rand(3, 160, 200), torch.rand(3, 120, 160)]}

    return Network("torchvision", name, make, imports=("torchvision",))
