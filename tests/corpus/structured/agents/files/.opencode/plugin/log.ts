export const Log = async () => ({})
