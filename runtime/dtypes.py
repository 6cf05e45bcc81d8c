"""Dtypes of floating point, as ONNX Runtime names them."""

FLOAT32, FLOAT16, BFLOAT16 = "tensor(float)", "tensor(float16)", "tensor(bfloat16)"

ITEM_BYTES = {FLOAT32: 4, FLOAT16: 2, BFLOAT16: 2}
"""of one number"""
