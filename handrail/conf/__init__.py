"""What each verb can be told, as typed schemas; the defaults of agents and environments are their own classes'."""
