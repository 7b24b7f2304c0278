# built together with its tokenizer: key facts
hash = "sha256-phrHf06LuRG2y1oomav87GQ/kP6g54Toa4vFV1Hszx8=";
rev = "a4a52b1c35ba02414ee8a793db1ddd2f485c69b8";
