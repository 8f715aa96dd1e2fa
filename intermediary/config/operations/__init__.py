"""Operations: whether the platform's own processes, its outbox and its chain are well, and who is told when not.

rows         what is kept: a report a process, alarms and who has read them, notices to send, the last look round
heartbeat    each process says that it lives, what its last step took, and what it failed on
figures      all numbers of one moment, from rows, in a few statements
rules        pure: figures in, alarms out; each with its severity, its thresholds and their reasons
evaluation   every 30 seconds: alarms are raised, held, cleared; notices are written
notices      they leave: a signed webhook, an e-mail; the log line is written with the alarm
metrics      the same figures in the form that Prometheus reads
probes       /healthz, /readyz and /metrics, answered before anything that could be broken
"""
