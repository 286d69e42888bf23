"""`diff`: what two arrays or groups do not have in common."""

from __future__ import annotations

from ndzarr.comparing.diff import diff as diff
