let token = "r8_nL12b9p2E0B1guIualduKGvZjmxiXv21jh49z";
