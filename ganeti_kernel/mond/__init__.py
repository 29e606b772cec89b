"""The monitoring daemon: collectors in processes of their own, reports served from memory.

How a report comes about:

- `supervisor` keeps one collector: forks its process, asks it for a report once an interval, ends
  it when it overruns, starts it again with what it had saved.
- `worker` is that process: it loads the plugin, runs it, and makes bytes out of what it returns
  (`report` for JSON, `metrics` for Prometheus), so that nothing of this costs the daemon time.
- `frames` are the messages between the two, `channel` the daemon's end of them, `processes` forks
  and ends.
- `board` holds the newest bytes of every collector; `routes` finds those a URL asks for, `http`
  sends them, `page` is for people with a browser.
- `service` puts these together; `settings` reads which collectors the cluster wants, how often.

Why processes and not threads: a thread can neither be ended when it hangs nor be refused memory,
and `sys.exit`, a crash in C, a closed descriptor or a changed signal handler are the whole
process's. Why one for each collector and not a pool: a process that is killed in the middle of
one report takes no other with it. They are forked from the daemon, which has everything loaded
but the plugins, so a process costs what its own collector makes dirty. The daemon itself imports
no plugin: an upgraded one is new code after a reload, and what an import does stays outside.
"""
