"""Chunk objects read, written and erased: beside `nodes`, all that calls a store."""

from __future__ import annotations

from ndzarr.engine.examination import Problem as Problem, examine as examine, set_aside as set_aside
from ndzarr.engine.objects import Engine as Engine
from ndzarr.engine.point import read_point as read_point
from ndzarr.engine.presence import presence as presence
