"""The amalgamation: one header and one source to drop into any build."""

from __future__ import annotations

import re
from collections.abc import Mapping


def amalgamate(name: str, files: Mapping[str, str]) -> dict[str, str]:
    """{<name>.h, <name>.c}: kernels, weights and model in one source, each header once, includes resolved inside it."""
    parts: list[str] = []
    system: list[str] = []
    done = {f"{name}.h"}

    def add(file: str) -> None:
        if file in done:
            return
        done.add(file)
        text = files[file]
        for header in re.findall(r'#include "(\w+\.h)"', text):
            add(header)
        system.extend(re.findall(r"^#include <\w+\.h>$", text, re.M))
        text = re.sub(r'^#include [<"]\w+\.h[>"]\n', "", text, flags=re.M)
        parts.append(f"/* ---- {file} ---- */\n{text.strip()}\n")

    for file in sorted(f for f in files if f.endswith(".c") and f != f"{name}.c"):
        add(file)
    add(f"{name}.c")
    includes = "\n".join([f'#include "{name}.h"', "", *dict.fromkeys(sorted(system))])
    return {f"{name}.h": files[f"{name}.h"], f"{name}.c": f"{includes}\n\n" + "\n".join(parts)}
