"""Attacks by guest-supplied models, as a table: what each does, its bytes, and what it did to a host that trusted it.

`ATTACKS` lists them by name; `python -m tests.attacks` runs them. A model gets `x`, FP32 [4, 4], unless its row has
other inputs.
"""

from __future__ import annotations

from tests.wasi_nn_torch.helpers.attack_rows.confusing import CONFUSES, FLOODS
from tests.wasi_nn_torch.helpers.attack_rows.crashing import CRASHES
from tests.wasi_nn_torch.helpers.attack_rows.growing import GROWS
from tests.wasi_nn_torch.helpers.attack_rows.hanging import HANGS
from tests.wasi_nn_torch.helpers.attack_rows.reading import READS

ATTACKS = {attack.name: attack for attack in (*CRASHES, *READS, *HANGS, *GROWS, *FLOODS, *CONFUSES)}
