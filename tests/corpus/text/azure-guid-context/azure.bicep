param openAiName string
var roleId = 'c1a679c5-d267-3147-9630-0f44938cf216'
output key string = listKeys(openAiName, '2024-10-01').key1
