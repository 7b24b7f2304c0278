static int fw_get_filesystem_firmware_version(void);
int hf_transfer_enable_async_download_queue_size;
#define r8_register_file_mapping_table_entry 1
const char *task = "disk-usage-report-generation-for-all-tenants";
