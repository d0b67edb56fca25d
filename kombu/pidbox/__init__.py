"""Remote control: commands to all, some or one of the processes that listen, and their replies.

A *mailbox* is a namespace, a *node* is a process in it.  What travels:

=======  ===================  ==================================================================
message  exchange             content
=======  ===================  ==================================================================
command  `<ns>.pidbox`        the body has `method`, `arguments`, `destination`, `pattern` and
                              `matcher`, and where a reply is wanted `ticket` and `reply_to`
                              (`exchange` and `routing_key`); the headers have `clock`, and
                              `expires` in seconds since 1970, 0 for never
reply    `reply.<ns>.pidbox`  the body is `{hostname: result}`; the headers have `ticket` and
                              `clock`; the routing key is the `oid` of the mailbox that asked
=======  ===================  ==================================================================
"""

from __future__ import annotations

from kombu.pidbox._mailbox import REPLY_QUEUE_EXPIRES, Mailbox
from kombu.pidbox._node import Node

__all__ = ('REPLY_QUEUE_EXPIRES', 'Mailbox', 'Node')
