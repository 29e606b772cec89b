"""The conformance kit: one suite of tests for each plugin kind. This package is public API.

| kind | suite |
|---|---|
| Hypervisor | `ganeti_kernel.testing.hypervisor.HypervisorContract` |
| DiskTemplate | `ganeti_kernel.testing.disk_template.DiskTemplateContract` |
| …without disks | `ganeti_kernel.testing.disk_template.DisklessContract` |
| ExtStorageProvider | `ganeti_kernel.testing.extstorage.ExtStorageContract` |
| NetworkScript | `ganeti_kernel.testing.network_script.NetworkScriptContract` |
| Collector | `ganeti_kernel.testing.collector.CollectorContract` |
| ConfdQuery | `ganeti_kernel.testing.confd_query.ConfdQueryContract` |
| Allocator | `ganeti_kernel.testing.allocator.AllocatorContract` |
| StoreBackend | `ganeti_kernel.testing.store.StoreContract` |

An author derives a test class and fills in fixtures:

    class TestMine(ExtStorageContract):
        @pytest.fixture
        def plugin_class(self) -> type[MyProvider]:
            return MyProvider

Each suite says in its docstring which fixtures are to be filled in and which may be. A contract's
own tests are not to be overridden; a plugin that cannot pass one marks its override with
`@pytest.mark.xfail(reason=…)`, and the suite checks that.

`ganeti_kernel.testing.fakes` stands in for a plugin's neighbours, `ganeti_kernel.testing.mutants`
runs a suite on a plugin that was broken on purpose, to see whether the suite notices.
"""
