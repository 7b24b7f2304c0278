curl https://api.portkey.ai/v1/models \
  -H "Authorization: Bearer gyuRFswoaj3JmBf855MGNxxmY97="
