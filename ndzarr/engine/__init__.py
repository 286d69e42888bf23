"""Chunk objects read, written and erased: beside `nodes`, all that calls a store."""

from __future__ import annotations

from ndzarr.engine.evidence import (
    chunk_in as chunk_in,
    encoded_in as encoded_in,
    evidence as evidence,
    evidence_after_s as evidence_after_s,
    read_record as read_record,
    whole_objects as whole_objects,
    write_record as write_record,
)
from ndzarr.engine.examination import Problem as Problem, examine as examine, set_aside as set_aside
from ndzarr.engine.hazard import check_seen as check_seen
from ndzarr.engine.objects import Engine as Engine
from ndzarr.engine.point import read_point as read_point
from ndzarr.engine.presence import presence as presence
