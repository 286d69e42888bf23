"""What the chunks of an array hold, kept beside it and believed only as long as the stored objects are what they were."""

from __future__ import annotations

from ndzarr.statistics.collecting import collect as collect
from ndzarr.statistics.pruning import extreme as extreme, may_help as may_help, nonzero as nonzero, where as where
from ndzarr.statistics.told import Statistics as Statistics, statistics_of as statistics_of
from ndzarr.statistics.trust import agreed as agreed, damage as damage
