"""Ports bound to their implementations; called once by each process that may take on risk."""

from intermediary import ports


def bind_risk() -> None:
    """Loads the numeric stack: risk workers only."""
    from risk.gate import EngineGate

    ports.bind_risk_gate(EngineGate())
