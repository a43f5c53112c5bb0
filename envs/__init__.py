"""The robot and its senses, as Gymnasium environments."""
