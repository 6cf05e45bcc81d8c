"""What a GPU makes of it: correctness against the CPU, speed against diffusers and the hardware, and the whole server.

Everything that needs no GPU, such as exports, is prepared beforehand, in a folder that can be carried to another
machine. The checks run one after the other, each in a process of its own, until the time is over; what they find is
written as they go.
"""
