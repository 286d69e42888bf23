"""Metadata documents in a store, and whole nodes copied as bytes: beside `engine`, all that calls a store."""

from __future__ import annotations

from ndzarr.nodes.copying import (
    Contents as Contents,
    contents as contents,
    copy_keys as copy_keys,
    leftovers as leftovers,
    move_at_once as move_at_once,
    nbytes as nbytes,
    remove_below as remove_below,
    remove_copied as remove_copied,
    remove_keys as remove_keys,
    remove_unfinished as remove_unfinished,
    remove_values as remove_values,
    stop_unfinished as stop_unfinished,
)
from ndzarr.nodes.documents import (
    Change as Change,
    Meta as Meta,
    Opened as Opened,
    consolidate as consolidate,
    delete as delete,
    delete_remains as delete_remains,
    find as find,
    find_consolidated as find_consolidated,
    format_above as format_above,
    format_at as format_at,
    kind as kind,
    read as read,
    read_attributes as read_attributes,
    read_consolidated as read_consolidated,
    require_ancestors as require_ancestors,
    update_attributes as update_attributes,
    write as write,
    write_shape as write_shape,
)
from ndzarr.nodes.listing import Member as Member, children as children, members as members, stale as stale
from ndzarr.nodes.locks import node_lock as node_lock
from ndzarr.nodes.reading import ancestors as ancestors, check_spelling as check_spelling, nowhere as nowhere
from ndzarr.nodes.survey import (
    Survey as Survey,
    differing as differing,
    finish as finish,
    flush as flush,
    read_again as read_again,
    remains as remains,
    set_aside as set_aside,
    set_orphan_aside as set_orphan_aside,
    tidy as tidy,
)
from ndzarr.nodes.worklog import Worklog as Worklog, check_finished as check_finished, is_far as is_far
