"""Runs under Debian's Python with Debian's `ganeti` package: asks questions, prints what came.

Standard input is JSON: key, peers, port, coverage, timeout, tries, questions [[type, query], …].
Standard output is a JSON list with an object per question.
"""

import json
import sys

from ganeti.confd import client as confd_client  # type: ignore[import-not-found]

order = json.load(sys.stdin)
store = confd_client.StoreResultCallback()
counting = confd_client.ConfdCountingCallback(store)
filtering = confd_client.ConfdFilterCallback(counting)
client = confd_client.ConfdClient(order["key"], order["peers"], filtering, port=order["port"])

results = []
for number, query in order["questions"]:
    for _attempt in range(order["tries"]):
        request = confd_client.ConfdClientRequest(type=number, query=query)
        counting.RegisterQuery(request.rsalt)
        client.SendRequest(request, coverage=order["coverage"], async_=False)
        timed_out, sent, received = client.WaitForReply(request.rsalt, timeout=order["timeout"])
        done, upcall = store.GetResponse(request.rsalt)
        if done or (upcall is not None and upcall.server_reply is not None):
            break
    reply = upcall.server_reply if upcall is not None else None
    results.append(
        {
            "timed_out": timed_out,
            "sent": sent,
            "received": received,
            "consistent": filtering.consistent.get(request.rsalt),
            "status": reply.status if reply else None,
            "answer": reply.answer if reply else None,
            "serial": reply.serial if reply else None,
        }
    )
json.dump(results, sys.stdout)
