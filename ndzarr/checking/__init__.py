"""`check`: what is wrong in a store, and what can be put right without inventing anything."""

from __future__ import annotations

from ndzarr.checking.check import check as check
from ndzarr.checking.report import Finding as Finding, Report as Report
