"""Operations: reports of processes, figures, alarms, notices, probes, the runbook."""
