// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module as others would make one with linux-headers; see vm/deb-test.
 */

#include <linux/module.h>

static int __init deb_test_init(void)
{
	pr_info("deb_test: hello\n");
	return 0;
}
module_init(deb_test_init);

static void __exit deb_test_exit(void)
{
}
module_exit(deb_test_exit);

MODULE_DESCRIPTION("Test of the package linux-headers");
MODULE_LICENSE("GPL");
