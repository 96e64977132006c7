"""The generated folder: it compiles everywhere, computes the reference's bytes, and says of itself what is true."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgeq
from edgeq import ops
from edgeq.build import HostLibrary
from edgeq.check import check, stress_inputs
from edgeq.compile import CompiledModel
from edgeq.emit import amalgamate
from edgeq.emit.c import comment, float_literal
from edgeq.emit.emit import prefix, runtime_files
from edgeq.errors import BuildFailed, Mismatch
from edgeq.plan.code import architecture, measured
from edgeq.quantize import InputSpec
from edgeq.reference import execute
from edgeq.targets import OPTIMIZE, TARGETS
from tests.c_models import DIGITS, MODELS, STRICT, app, feed, shell, sources, write
from tests.update_code_bytes import LEVEL
from tests.update_code_bytes import sources as code_sources
from tests.update_goldens import GOLDEN, golden_files

CORES = [name for name, target in TARGETS.items() if target.flags]
ALLOWED = re.compile(r"memcpy|memset|memmove|__aeabi_mem\w+")  # what generated code may take from libc and libgcc
BUILDS = {
    "digits": lambda **more: edgeq.compile_model(DIGITS / "digits.onnx", DIGITS / "calib.npz", **more),
    "zoo": lambda **more: edgeq.compile_model(MODELS / "zoo_legacy.onnx", "random", name="zoo", **more),
    "two": lambda **more: edgeq.compile_model(MODELS / "two_in_two_out_legacy.onnx", "random", name="two", **more),
    "camera": lambda **more: edgeq.compile_model(
        MODELS / "conv_legacy.onnx", "random", name="camera", inputs={"image": InputSpec((0.0, 1.0), "uint8")}, **more),
}  # fmt: skip
each_model = pytest.mark.parametrize("key", BUILDS)


@pytest.fixture(scope="module")
def built() -> dict[str, CompiledModel]:
    return {key: build() for key, build in BUILDS.items()}


@pytest.fixture(scope="module")
def folders(built: dict[str, CompiledModel], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders")
    return {key: model.save(root / key) for key, model in built.items()}


def expected(models: list[CompiledModel], inputs: list[dict[str, np.ndarray]]) -> bytes:
    """stdout of the app."""
    outs = [execute(m.graph, x) for m, x in zip(models, inputs, strict=True)]
    count = len(next(iter(inputs[0].values())))
    return b"".join(o[t.name][i].tobytes() for i in range(count)
                    for m, o in zip(models, outs, strict=True) for t in m.graph.outputs.values())  # fmt: skip


def assert_program_right(models: list[CompiledModel], command: list[object], folder: Path) -> None:
    """Compiles an app around the models and compares what it writes with the reference."""
    (folder / "app.c").write_text(app(models))
    binary = folder / "app"
    shell([*command, folder / "app.c", "-o", binary])  # type: ignore[list-item]
    inputs = [stress_inputs(m.graph, random=8) for m in models]
    assert shell([binary], input=feed(models, inputs)) == expected(models, inputs)


# ---------------------------------------------------------------- compilers


@each_model
@pytest.mark.parametrize("command", ["gcc -O2", "clang -O2", "gcc -m32 -O2", "gcc -O1 -DEDGEQ_HOOKS"])
def test_compiles_without_warnings(key: str, command: str, folders: dict[str, Path], tmp_path: Path) -> None:
    shell([*command.split(), *STRICT, "-c", *sources(folders[key])], cwd=tmp_path)


LEVELS = ["", "-O0", "-Os", "-O2", "-O3 -march=native", "-O2 -m32", "-O1 -fsanitize=address,undefined"]


@pytest.mark.parametrize("flags", LEVELS)
@pytest.mark.parametrize("key", ["digits", "zoo", "two"])
def test_same_bytes_at_every_optimisation(
    key: str, flags: str, built: dict[str, CompiledModel], folders: dict[str, Path], tmp_path: Path
) -> None:
    """Without flags this is `cc -I DIR DIR/*.c app.c`: all that a build system needs."""
    folder = folders[key]
    assert_program_right([built[key]], ["cc", *flags.split(), "-I", folder, *sources(folder)], tmp_path)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_called_from_cpp(compiler: str, built: dict[str, CompiledModel], folders: dict[str, Path], tmp_path: Path) -> None:
    folder = folders["two"]
    (tmp_path / "app.cpp").write_text(app([built["two"]]))
    shell(["gcc", "-c", *sources(folder)], cwd=tmp_path)
    shell([compiler, "-std=c++11", "-Wall", "-Wextra", "-Werror", "-I", folder, "app.cpp", *tmp_path.glob("*.o"),
           "-o", "app"], cwd=tmp_path)  # fmt: skip
    x = stress_inputs(built["two"].graph, random=2)
    assert shell([tmp_path / "app"], input=feed([built["two"]], [x])) == expected([built["two"]], [x])


def undefined_symbols(objects: list[Path]) -> set[str]:
    """Symbols that the objects need from elsewhere."""

    def symbols(*flags: str) -> set[str]:
        text = shell(["arm-none-eabi-nm", *flags, *objects]).decode()
        return {line.split()[-1] for line in text.splitlines() if line.strip() and not line.endswith(":")}

    return symbols("-u") - symbols("--defined-only")


def test_sizes_of_kernels_are_of_this_release() -> None:
    assert measured()["sources"] == code_sources(), "python -m tests.update_code_bytes"
    for core in (TARGETS[name] for name in CORES):
        for known in measured()["bytes"][architecture(core)].values():
            assert set(known) == {k.function for op in ops.modules() for k in ops.kernels(op) if k.isa in core.isa}


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55"])
def test_optimised_for_size_it_is_smaller_and_the_same(core: str, tmp_path: Path) -> None:
    models = {o: edgeq.compile_model(DIGITS / "digits.onnx", DIGITS / "calib.npz", target=core, name=o, run_check=False,
                                     optimize=o) for o in OPTIMIZE}  # fmt: skip
    sizes = {}
    for o, model in models.items():
        folder = write(tmp_path / o, model.files)
        link = [LEVEL[o], "-ffunction-sections", "-nostdlib", f"-Wl,--gc-sections,-e,{o}_run,--unresolved-symbols=ignore-all"]
        shell(["arm-none-eabi-gcc", *TARGETS[core].flags, *link, *sources(folder), "-o", "out.elf"], cwd=folder)
        lines = shell(["arm-none-eabi-size", "-A", folder / "out.elf"]).decode()
        sizes[o] = sum(int(n) for n in re.findall(r"^\.(?:text|rodata)\S*\s+(\d+)", lines, re.M))
        estimate = model.manifest["constant_bytes"] + model.manifest["code_bytes"]
        assert 0 < sizes[o] - estimate < 1500  # params structs and the model's own code come on top
    assert sizes["size"] < sizes["speed"]
    x = stress_inputs(models["size"].graph, random=3)
    assert np.array_equal(models["size"].library.run(x)["probabilities"], models["speed"].library.run(x)["probabilities"])


@pytest.mark.parametrize("level", ["-O0", "-Os", "-O3"])
@pytest.mark.parametrize("core", CORES)
def test_compiles_for_arm_and_needs_no_library(core: str, level: str, built: dict[str, CompiledModel], tmp_path: Path) -> None:
    """Every kernel, and one model. No libm, no malloc, no float, 64-bit or division helper."""
    names = {k.source for op in ops.modules() for k in ops.kernels(op) if k.isa in TARGETS[core].isa}
    folder = write(tmp_path, {**built["zoo"].files, **runtime_files(sorted(names))})
    shell(["arm-none-eabi-gcc", *TARGETS[core].flags, level, *STRICT, "-c", *sources(folder)], cwd=tmp_path)
    assert not {s for s in undefined_symbols(list(tmp_path.glob("*.o"))) if not ALLOWED.fullmatch(s)}


def test_hooks_leave_no_trace(folders: dict[str, Path], tmp_path: Path) -> None:
    shell(["gcc", "-O1", "-c", *sources(folders["digits"])], cwd=tmp_path)
    assert b"layer_begin" not in shell(["nm", *tmp_path.glob("*.o")])
    shell(["gcc", "-O1", "-DEDGEQ_HOOKS", "-c", *sources(folders["digits"])], cwd=tmp_path)
    assert b"U digits_layer_begin" in shell(["nm", tmp_path / "digits.o"])


@pytest.mark.skipif(not shutil.which("cmake"), reason="no cmake")
def test_cmake_builds_it(folders: dict[str, Path], tmp_path: Path) -> None:
    shell(["cmake", "-S", folders["two"], "-B", tmp_path])
    shell(["cmake", "--build", tmp_path])
    assert (tmp_path / "libtwo.a").exists()


# ---------------------------------------------------------------- several models, single files


def test_two_models_in_one_program(built: dict[str, CompiledModel], folders: dict[str, Path], tmp_path: Path) -> None:
    keys = ["digits", "zoo"]
    flags = [part for key in keys for part in ("-I", folders[key], *sources(folders[key]))]
    assert_program_right([built[k] for k in keys], ["gcc", "-O1", *flags], tmp_path)


def test_single_files(built: dict[str, CompiledModel], tmp_path: Path) -> None:
    models = [BUILDS[key](single_file=True, run_check=False) for key in ("digits", "zoo")]
    for model in models:
        c_files = {f: t for f, t in model.files.items() if f.endswith((".c", ".h"))}
        assert sorted(c_files) == [f"{model.name}.c", f"{model.name}.h"]
        write(tmp_path / "both", c_files)
        for compiler in ("gcc", "clang"):
            shell([compiler, "-O1", *STRICT, "-c", tmp_path / "both" / f"{model.name}.c"], cwd=tmp_path)
        assert_program_right([model], ["gcc", tmp_path / "both" / f"{model.name}.c", "-I", tmp_path / "both"], tmp_path)
    assert_program_right(models, ["gcc", *sources(tmp_path / "both"), "-I", tmp_path / "both"], tmp_path)


@pytest.mark.parametrize("isa", sorted({k.isa for op in ops.modules() for k in ops.kernels(op)}))
def test_any_kernels_share_one_file(isa: str, built: dict[str, CompiledModel], tmp_path: Path) -> None:
    """Static names and macros of the kernels differ, so that an amalgamation of any of them compiles."""
    names = {k.source for op in ops.modules() for k in ops.kernels(op) if k.isa in (isa, "c")}
    one = amalgamate("zoo", {**built["zoo"].files, **runtime_files(sorted(names))})
    core = {"mve": "cortex-m55", "dsp": "cortex-m4", "v7m": "cortex-m3"}.get(isa, "cortex-m0")
    shell(["arm-none-eabi-gcc", *TARGETS[core].flags, "-O1", *STRICT, "-c", write(tmp_path, one) / "zoo.c"], cwd=tmp_path)


# ---------------------------------------------------------------- what the files say


@each_model
def test_manifest(key: str, built: dict[str, CompiledModel], folders: dict[str, Path]) -> None:
    manifest, folder = json.loads((folders[key] / "manifest.json").read_text()), folders[key]
    assert {"model", "target", "arena_bytes", "arena_align", "inputs", "outputs", "layers", "files"} <= set(manifest)
    for port in [*manifest["inputs"], *manifest["outputs"]]:
        assert {"name", "shape", "dtype", "scale", "zero_point", "offset"} <= set(port)
        assert 0 <= port["offset"] <= port["offset"] + np.prod(port["shape"]) <= manifest["arena_bytes"]
    for layer in manifest["layers"]:
        assert {"onnx_nodes", "op", "kernel", "input_shapes", "output_shape", "macs", "weight_bytes"} <= set(layer)
    on_disk = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir() if f.name != "manifest.json"}
    assert manifest["files"] == on_disk
    assert all((folder / f).is_file() for f in on_disk), "the folder is not flat"


@each_model
def test_header_agrees_with_manifest(key: str, built: dict[str, CompiledModel]) -> None:
    model = built[key]
    m, name = model.manifest, model.name
    macros = dict(re.findall(rf"^#define {name.upper()}_(\w+) (.+)$", model.files[f"{name}.h"], re.M))
    assert int(macros["ARENA_SIZE"]) == m["arena_bytes"] and int(macros["ARENA_ALIGN"]) == m["arena_align"]
    assert macros["TARGET"] == f'"{m["target"]}"' and macros["MODEL_HASH"] == f"0x{m['model_hash']}u"
    assert int(macros["LAYERS"]) == len(m["layers"]) and macros["EDGEQ_VERSION"] == f'"{m["edgeq"]}"'
    for kind, ports in (("INPUT", m["inputs"]), ("OUTPUT", m["outputs"])):
        for port in ports:
            macro = kind if len(ports) == 1 else f"{kind}_{port['name'].upper()}"
            assert int(macros[f"{macro}_SIZE"]) == np.prod(port["shape"])
            assert int(macros[f"{macro}_OFFSET"]) == port["offset"]
            assert int(macros[f"{macro}_ZERO_POINT"].strip("()")) == port["zero_point"]
            assert np.float32(macros[f"{macro}_SCALE"].removesuffix("f")) == np.float32(port["scale"])
            if port["frac_bits"] is None:
                assert f"{macro}_FRAC_BITS" not in macros
            else:
                assert int(macros[f"{macro}_FRAC_BITS"].strip("()")) == port["frac_bits"]


def test_several_inputs_and_outputs_are_named(built: dict[str, CompiledModel]) -> None:
    header = built["two"].files["two.h"]
    for text in (
        "int8_t *two_input_image(void *arena);",
        "int8_t *two_input_features(void *arena);",
        "#define TWO_INPUT_FEATURES_SIZE 5\n",
        "const int8_t *two_output_probabilities(const void *arena);",
        "const int8_t *two_output_embedding(const void *arena);",
        "#define TWO_OUTPUT_EMBEDDING_SIZE 8\n",
    ):
        assert text in header


def test_uint8_input_with_a_declared_range(built: dict[str, CompiledModel]) -> None:
    model = built["camera"]
    port = model.inputs["image"]
    assert "\nuint8_t *camera_input(void *arena);" in model.files["camera.h"]
    assert port.dtype == "uint8" and port.zero_point == 0 and port.scale == pytest.approx(1 / 255)
    frames = np.random.default_rng(0).integers(0, 256, (20, *port.sample), np.uint8)
    assert np.array_equal(model.run(frames), model.run_reference(frames))
    assert model.run(frames).dtype == np.int8
    assert np.allclose(model.run(frames.astype(np.float32) / 255), model.outputs["probabilities"].scale
                       * (model.run(frames).astype(np.float32) - model.outputs["probabilities"].zero_point))  # fmt: skip


SECOND = """
import sys; from pathlib import Path
sys.path[:0] = sys.argv[2:]
from tests import test_emit
for key, build in test_emit.BUILDS.items(): build().save(Path(sys.argv[1]) / key)
"""


def test_deterministic(folders: dict[str, Path], tmp_path: Path) -> None:
    """Another process, another working directory, another hash seed: the same bytes."""
    places = [os.path.abspath(p or ".") for p in sys.path]
    seeded = {**os.environ, "PYTHONHASHSEED": "12345"}
    shell([sys.executable, "-c", SECOND, "out", *places], cwd=tmp_path, env=seeded)
    for key, folder in folders.items():
        files = sorted(f.name for f in folder.iterdir())
        assert sorted(f.name for f in (tmp_path / "out" / key).iterdir()) == files
        for file in files:
            assert (folder / file).read_bytes() == (tmp_path / "out" / key / file).read_bytes(), f"{key}/{file}"


def test_golden() -> None:
    """A change of what is emitted shows up as a diff. python tests/update_goldens.py writes the files anew."""
    files = golden_files()
    assert sorted(files) == sorted(f.name for f in GOLDEN.iterdir())
    for name, text in files.items():
        assert text == (GOLDEN / name).read_text(), f"{name} changed; if that is meant: python tests/update_goldens.py"


# ---------------------------------------------------------------- names


def hostile_model(path: Path) -> Path:
    """Two Relus and a sum whose names try to leave the comments and names that they are put into."""
    x, y, z = "in*/put\n#error x", "in*/put #error X", "1*\\"
    made = [helper.make_node("Relu", [x], ["*/ int evil; /*"], "évil*\\??/\n??/"),
            helper.make_node("Relu", [y], ["return"], "*/#error \"out\"/*ß/"),
            helper.make_node("Add", ["*/ int evil; /*", "return"], [z], "// \\"),
            helper.make_node("Mul", [z, "w"], ["é"], "日本??/")]  # fmt: skip
    shape = [1, 6]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (x, y, z, "é")]
    weights = [numpy_helper.from_array(np.arange(1, 7, dtype=np.float32), "w")]
    graph = helper.make_graph(made, "*/", tensors[:2], tensors[2:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


NAMES = ["int", "1st model", "Größe*/", "string", "edgeq", "edgeq_add", "test", "...", "hooks", "BEGIN"]


def test_hostile_names(tmp_path: Path) -> None:
    path = hostile_model(tmp_path / "we*ird\\??? \nmodel*\\.onnx")
    models = [edgeq.compile_model(path, "random", name=name, run_check=name == "hooks") for name in NAMES]
    models.append(edgeq.compile_model(path, "random", single_file=True, run_check=False))
    flags: list[object] = []
    for i, model in enumerate(models):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", model.name)
        folder = model.save(tmp_path / f"m{i}")
        for compiler in ("gcc", "clang"):
            shell([compiler, *STRICT, "-c", *sources(folder)], cwd=tmp_path)
        flags += ["-I", folder, *sources(folder)]
    assert_program_right(models, ["gcc", *flags], tmp_path)


def test_names_keep_clear_of_other_files() -> None:
    assert prefix("KWS v1.2") == "kws_v1_2"
    for name in ("string", "stdint", "edgeq", "edgeq_conv2d", "test"):
        assert prefix(name) == f"{name}_model"
    assert prefix("device") == prefix("device_model") == "device_model_model"  # headers of runtime_c/device


def test_c_text() -> None:
    assert comment("*\\ a*/b/*c ??/ é") == "* / a* /b/ *c ? ?/ _"
    assert [float_literal(v) for v in (1.0, 0.5, 1e-12, 2.0**20)] == ["1.0f", "0.5f", "9.99999996e-13f", "1048576.0f"]


# ---------------------------------------------------------------- the check notices


BREAK = {
    "digits": ("edgeq_max_pool.c", "pixel[c] > best[c]", "pixel[c] < best[c]", "edgeq_max_pool"),
    "zoo": ("edgeq_lut.c", "out[i] = table", "out[i] = (int8_t)-table", "edgeq_lut"),
    "two": ("edgeq_softmax.c", "bit < 8", "bit < 7", "edgeq_softmax"),
}


@pytest.mark.parametrize("key", BREAK)
def test_check_names_the_first_wrong_layer_and_element(key: str, built: dict[str, CompiledModel]) -> None:
    model = built[key]
    file, old, new, kernel = BREAK[key]
    assert old in model.files[file]
    broken = HostLibrary({**model.files, file: model.files[file].replace(old, new)}, model.manifest)
    with pytest.raises(Mismatch) as caught:
        check(model.graph, broken, stress_inputs(model.graph, random=100))
    first = next(x for x in model.manifest["layers"] if x["kernel"] == kernel)
    where = r"first at sample \d+, element \[[\d, ]+\]: C -?\d+, reference -?\d+;"
    assert re.search(f"{kernel} differs .* {where}", str(caught.value))
    assert first["name"] in str(caught.value) and first["onnx_nodes"][0] in str(caught.value)


def test_check_notices_clobbered_memory(built: dict[str, CompiledModel]) -> None:
    """A wrong address in the model's own C, as a wrong memory plan would give."""
    model = built["digits"]
    text = model.files["digits.c"]
    line = re.search(r"edgeq_add\(&\w+, a \+ \d+, a \+ (\d+), a \+ \d+\);", text)
    assert line
    moved = line[0].replace(f"a + {line[1]}, a", f"a + {int(line[1]) + 4}, a")
    with pytest.raises(Mismatch, match="edgeq_add"):
        check(model.graph, HostLibrary({**model.files, "digits.c": text.replace(line[0], moved)}, model.manifest),
              stress_inputs(model.graph))  # fmt: skip


def test_build_failures(built: dict[str, CompiledModel], monkeypatch: pytest.MonkeyPatch) -> None:
    model = built["two"]
    with pytest.raises(BuildFailed, match=r"two: .*failed: edgeq_lut\.c:.*error"):
        HostLibrary({**model.files, "edgeq_lut.c": "int f(void) { return oops; }"}, model.manifest)
    with pytest.raises(BuildFailed, match="does not load"):
        _ = replace(model, files={f: t for f, t in model.files.items() if f != "edgeq_lut.c"}).library
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BuildFailed, match="no-such-compiler"):
        HostLibrary(model.files, model.manifest)
