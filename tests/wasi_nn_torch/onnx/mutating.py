"""Mutated ONNX models, and models of one operator with any arguments, drawn at random."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.wasi_nn_torch.onnx.models import FLOAT, linear, model, node, proto, split, value
from wasi_nn_torch.onnx.dtypes import OF_WASI_NN
from wasi_nn_torch.onnx.vetting.operators import ADMITTED

INTEGERS = (0, 1, -1, 2, 3, 7, 255, 2**31 - 1, -(2**31), 2**31, 2**32, 2**62, -(2**63), 2**63 - 1, 65536)
FLOATS = (0.0, -1.0, 1e30, float("inf"), float("nan"), 0.5)


def drawn(seed: int, number: int) -> tuple[bytes, random.Random]:
    """The bytes of one of the models of a seed, and the state of chance after it."""
    chance = random.Random(f"{seed} {number}")
    if number % 2 == 0:
        return operator(chance), chance
    models = _bases()
    return mutated(models[number // 2 % len(models)], chance), chance


def weights(name: str, *shape: int, dtype: type = np.float32) -> onnx.TensorProto:
    """Constants that are small numbers."""
    return numpy_helper.from_array((np.arange(int(np.prod(shape))) % 3).reshape(shape).astype(dtype), name)


def bases() -> list[onnx.ModelProto]:
    """Models with many operators, constants and a branch."""
    image = proto(
        [
            node("Conv", "x w b", "c", pads=[1, 1, 1, 1], strides=[2, 2]),
            node("BatchNormalization", "c s s b v", "n"),
            node("Relu", "n", "r"),
            node("MaxPool", "r", "p", kernel_shape=[2, 2]),
            node("Resize", "p _ scales", "u", mode="linear"),
            node("GlobalAveragePool", "u", "g"),
            node("Flatten", "g", "f"),
            node("Gemm", "f m", "y", transB=1),
        ],
        [value("x", [1, 3, 16, 16])],
        [value("y", None)],
        [
            weights("w", 4, 3, 3, 3),
            weights("b", 4),
            weights("s", 4),
            weights("v", 4),
            numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
            weights("m", 5, 4),
        ],
    )
    image.graph.node[4].input[1] = ""
    branches = [helper.make_graph([node(op, "x", "z")], op, [], [value("z", None)]) for op in ("Neg", "Abs")]
    shapes = proto(
        [
            node("Shape", "x", "shape"),
            node("Gather", "shape i", "rows", axis=0),
            node("Unsqueeze", "rows zero", "rows1"),
            node("Concat", "rows1 minus", "target", axis=0),
            node("Reshape", "x target", "flat"),
            node("Slice", "flat zero one zero", "cut"),
            node("Pad", "cut pads", "padded"),
            node("Expand", "padded target2", "wide"),
            node("Tile", "wide repeats", "tiled"),
            node("TopK", "tiled one", "top where"),
            node("ReduceSum", "top", "sum", keepdims=0),
            node("Greater", "sum limit", "is"),
            helper.make_node("If", ["is"], ["y"], then_branch=branches[0], else_branch=branches[1]),
        ],
        [value("x", ["n", 4])],
        [value("y", None), value("where", None, TensorProto.INT64)],
        [
            weights("i", dtype=np.int64),
            numpy_helper.from_array(np.array([0]), "zero"),
            numpy_helper.from_array(np.array([1]), "one"),
            numpy_helper.from_array(np.array([-1]), "minus"),
            numpy_helper.from_array(np.array([0, 1, 0, 1]), "pads"),
            numpy_helper.from_array(np.array([2, 1, 6]), "target2"),
            numpy_helper.from_array(np.array([1, 2, 1]), "repeats"),
            weights("limit"),
        ],
    )
    sequence = proto(
        [
            node("LSTM", "x w r", "h _ c", hidden_size=3),
            node("Squeeze", "h one", "s"),
            node("LayerNormalization", "s g", "l"),
            node("Softmax", "l", "p", axis=-1),
            node("Einsum", "p p", "e", equation="abc,adc->abd"),
            node("ScatterND", "e at up", "d"),
            node("GatherElements", "d pick", "q", axis=0),
            node("Cast", "q", "h16", to=TensorProto.FLOAT16),
            node("CumSum", "d axis", "k"),
        ],
        [value("x", [5, 2, 4])],
        [value("h16", None, TensorProto.FLOAT16), value("k", None)],
        [
            weights("w", 1, 12, 4),
            weights("r", 1, 12, 3),
            weights("g", 3),
            numpy_helper.from_array(np.array([1]), "one"),
            numpy_helper.from_array(np.array([[0, 0, 0]]), "at"),
            weights("up", 1),
            weights("pick", 1, 2, 2, dtype=np.int64),
            weights("axis", dtype=np.int64),
        ],
    )
    sequence.graph.node[0].output[1] = ""
    quantized = proto(
        [
            node("QuantizeLinear", "x s z", "q"),
            node("DequantizeLinear", "q s z", "d"),
            node("DynamicQuantizeLinear", "d", "dq ds dz"),
            node("MatMulInteger", "dq w dz", "m"),
            node("NonZero", "m", "nz"),
            node("OneHot", "nz depth values", "o"),
            node("Where", "mask d zero", "y"),
        ],
        [value("x", [2, 4])],
        [value("y", None), value("o", None), value("m", None, TensorProto.INT32)],
        [
            numpy_helper.from_array(np.float32(0.5), "s"),
            numpy_helper.from_array(np.uint8(1), "z"),
            weights("w", 4, 3, dtype=np.uint8),
            numpy_helper.from_array(np.array(4), "depth"),
            weights("values", 2),
            numpy_helper.from_array(np.array([True, False, True, True]), "mask"),
            weights("zero"),
        ],
    )
    return [linear(), onnx.load_from_string(split()), image, shapes, sequence, quantized]


@cache
def _bases() -> list[onnx.ModelProto]:
    return bases()


_TYPES_OF_CONSTANTS = (np.float32, np.float32, np.float32, np.int64, np.int64, np.int32, np.uint8, np.bool_, np.float16)


def operator(random: random.Random) -> bytes:
    """A model with one node of any operator, on constants and attributes of the right kinds but with any values."""
    opset = random.choice((13, 17, 18, 20, 21, 22, 23))
    name = random.choice(sorted(ADMITTED - {"If"}))
    try:
        schema = onnx.defs.get_schema(name, opset, "")
    except onnx.defs.SchemaError:
        return operator(random)
    rank, inputs, constants = random.randint(0, 5), ["x"], []
    for index in range(1, random.randint(schema.min_input, min(schema.max_input, schema.min_input + 2))):
        constant = _constant(f"c{index}", rank, random)
        constants.append(constant)
        inputs.append("" if random.random() < _LEFT_OUT[_is_optional(schema, index)] else constant.name)
    dtype = random.choice((FLOAT, FLOAT, FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8))
    shape = [random.choice((1, 2, 3, 4, 8)) for _ in range(rank)]
    outputs = [
        f"y{index}"
        for index in range(max(1, min(schema.max_output, random.randint(schema.min_output, schema.min_output + 2))))
    ]
    attributes = {each.name: _attribute(each, random) for each in schema.attributes.values()}
    kept = {
        key: number
        for key, number in attributes.items()
        if number is not None and (schema.attributes[key].required or random.random() < 0.5)
    }
    made = helper.make_node(name, inputs[: schema.max_input] if schema.max_input else [], outputs, **kept)
    number = random.choice((dtype, dtype, dtype, FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.INT32))
    return model([made], [value("x", shape, dtype)], [value(each, None, number) for each in outputs], constants, opset)


#: How often an input is left out that is not optional, or that is.
_LEFT_OUT = (0.03, 0.4)


def _is_optional(schema: onnx.defs.OpSchema, index: int) -> bool:
    parameter = schema.inputs[min(index, len(schema.inputs) - 1)]
    return parameter.option == onnx.defs.OpSchema.FormalParameterOption.Optional


def _constant(name: str, rank: int, random: random.Random) -> onnx.TensorProto:
    shape = [random.choice((0, 1, 1, 2, 3, 4)) for _ in range(random.choice((0, 1, 1, 1, rank, 2, 3, 4)))]
    dtype = random.choice(_TYPES_OF_CONSTANTS)
    count = int(np.prod(shape))
    if np.dtype(dtype).kind == "i":
        numbers = [random.choice((0, 1, -1, 2, 3, -2, 100, -100, 2**31 - 1)) for _ in range(count)]
        return numpy_helper.from_array(np.array(numbers, dtype).reshape(shape), name)
    return weights(name, *shape, dtype=dtype)


def _attribute(found: onnx.defs.OpSchema.Attribute, random: random.Random) -> object:
    kinds = onnx.defs.OpSchema.AttrType
    small = (0, 1, 1, 2, 3, -1, -2, 7, *INTEGERS)
    strings = (
        "linear",
        "constant",
        "reverse",
        "bidirectional",
        "SAME_UPPER",
        "VALID",
        "DCR",
        "ij,jk->ik",
        "Tanh",
        "add",
    )
    match found.type:
        case kinds.INT:
            return random.choice(small)
        case kinds.INTS:
            return [random.choice(small) for _ in range(random.randint(1, 5))]
        case kinds.FLOAT:
            return random.choice(FLOATS)
        case kinds.FLOATS:
            return [random.choice(FLOATS) for _ in range(random.randint(1, 5))]
        case kinds.STRING:
            return random.choice(strings)
        case kinds.STRINGS:
            return [random.choice(strings) for _ in range(random.randint(1, 3))]
        case kinds.TENSOR:
            return _constant("t", 1, random)
    return None


def mutated(base: onnx.ModelProto, random: random.Random) -> bytes:
    """The bytes of a model with a few changes."""
    changed = onnx.ModelProto()
    changed.CopyFrom(base)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice(CHANGES)(changed, random)
    data = bytearray(changed.SerializeToString())
    if random.random() < 0.15:
        for _ in range(random.randint(1, 4)):
            data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def _change_attribute(model: onnx.ModelProto, random: random.Random) -> None:
    found = [attribute for each in model.graph.node for attribute in each.attribute]
    if not found:
        return
    attribute = random.choice(found)
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = random.choice(INTEGERS)
    elif attribute.type == onnx.AttributeProto.INTS:
        attribute.ints[:] = [random.choice(INTEGERS) for _ in range(random.randint(0, 6))]
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = random.choice(FLOATS)
    elif attribute.type == onnx.AttributeProto.STRING:
        attribute.s = random.choice((b"", b"x", b"...ij,jk->...ik", b"a,a", b"->", b"cubic", b"nearest", b"reverse"))


def _add_attribute(model: onnx.ModelProto, random: random.Random) -> None:
    name = random.choice("axis axes to keepdims group pads strides dilations kernel_shape perm mode direction".split())
    number: object = random.choice(INTEGERS)
    if name in ("axes", "pads", "strides", "dilations", "kernel_shape", "perm"):
        number = [random.choice(INTEGERS) for _ in range(random.randint(1, 5))]
    elif name in ("mode", "direction"):
        number = random.choice(["linear", "cubic", "reverse", "bidirectional", "edge", "wrap"])
    each = random.choice(model.graph.node)
    kept = [attribute for attribute in each.attribute if attribute.name != name]
    del each.attribute[:]
    each.attribute.extend([*kept, helper.make_attribute(name, number)])


def _change_operator(model: onnx.ModelProto, random: random.Random) -> None:
    random.choice(model.graph.node).op_type = random.choice(sorted(ADMITTED))


def _names(model: onnx.ModelProto) -> list[str]:
    made = [name for each in model.graph.node for name in each.output]
    return [*made, *(each.name for each in model.graph.initializer), *(each.name for each in model.graph.input), ""]


def _change_wire(model: onnx.ModelProto, random: random.Random) -> None:
    each = random.choice(model.graph.node)
    if each.input and random.random() < 0.7:
        each.input[random.randrange(len(each.input))] = random.choice(_names(model))
    elif each.output:
        each.output[random.randrange(len(each.output))] = random.choice(_names(model))


def _add_or_drop_input(model: onnx.ModelProto, random: random.Random) -> None:
    each = random.choice(model.graph.node)
    if random.random() < 0.5:
        each.input.append(random.choice(_names(model)))
    elif each.input:
        each.input.pop()


def _change_constant(model: onnx.ModelProto, random: random.Random) -> None:
    if not model.graph.initializer:
        return
    each = random.choice(model.graph.initializer)
    elements = numpy_helper.to_array(each)
    if elements.dtype.kind in "iu":
        information = np.iinfo(elements.dtype)
        fitting = [number for number in INTEGERS if information.min <= number <= information.max]
        flat = np.array([random.choice(fitting) for _ in range(elements.size)], elements.dtype)
    elif elements.dtype.kind == "f":
        flat = np.array([random.choice(FLOATS) for _ in range(elements.size)], elements.dtype)
    else:
        return
    each.CopyFrom(numpy_helper.from_array(flat.reshape(elements.shape), each.name))


def _change_shape_of_constant(model: onnx.ModelProto, random: random.Random) -> None:
    if not model.graph.initializer:
        return
    each = random.choice(model.graph.initializer)
    shape = [random.choice((0, 1, 2, 3, 4, 5)) for _ in range(random.randint(0, 5))]
    dtype = random.choice((np.float32, np.int64, np.int32, np.uint8, np.bool_, np.float16, np.float64))
    each.CopyFrom(weights(each.name, *shape, dtype=dtype))


def _change_dimension(model: onnx.ModelProto, random: random.Random) -> None:
    found = [*model.graph.output, *model.graph.input]
    each = random.choice(found)
    each.type.tensor_type.elem_type = random.choice(sorted(known.number for known in OF_WASI_NN.values()))
    if random.random() < 0.5:
        each.type.tensor_type.ClearField("shape")
        for _ in range(random.randint(0, 4)):
            each.type.tensor_type.shape.dim.add().dim_value = random.choice(INTEGERS)


def _repeat_node(model: onnx.ModelProto, random: random.Random) -> None:
    model.graph.node.add().CopyFrom(random.choice(model.graph.node))
    random.choice(model.graph.node)


def _change_opset(model: onnx.ModelProto, random: random.Random) -> None:
    model.opset_import[0].version = random.randint(1, 30)


CHANGES = (
    _change_attribute,
    _change_attribute,
    _add_attribute,
    _change_operator,
    _change_operator,
    _change_wire,
    _change_wire,
    _add_or_drop_input,
    _change_constant,
    _change_constant,
    _change_shape_of_constant,
    _change_dimension,
    _repeat_node,
    _change_opset,
)
