"""How a run goes: its stages, what they share, and the folder that it leaves."""
