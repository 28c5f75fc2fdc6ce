# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Build and install tinychat_ros. CMake builds the decoder as a C++ extension."""

from __future__ import annotations

from glob import glob
import os
import subprocess
import sys

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

PACKAGE = 'tinychat_ros'
# colcon --symlink-install runs this file through a link in its build directory.
ROOT = os.path.dirname(os.path.realpath(__file__))


class BuildNative(build_ext):
    """Build tinychat_core._tinychat with csrc/CMakeLists.txt."""

    def build_extension(self, ext: Extension) -> None:
        """Configure, build and install the module. CMake rebuilds only what changed."""
        target = os.path.dirname(os.path.abspath(self.get_ext_fullpath(ext.name)))
        # An editable install gets a new build_temp each time. The Makefile sets a permanent directory.
        build = os.environ.get('TINYCHAT_BUILD_DIR') or os.path.abspath(self.build_temp)
        configure = ['-S', os.path.join(ROOT, 'csrc'), f'-DPython_EXECUTABLE={sys.executable}']
        compile_one = ['--target', '_tinychat', '--parallel', str(os.cpu_count() or 1)]
        try:
            subprocess.run(['cmake', '-B', build, *configure], check=True)
            subprocess.run(['cmake', '--build', build, *compile_one], check=True)
            subprocess.run(['cmake', '--install', build, '--prefix', target], check=True)
        except (FileNotFoundError, subprocess.CalledProcessError):
            sys.exit(f'{PACKAGE}: CMake could not build the C++ extension (see the error above); it needs: '
                     'sudo apt install cmake g++ make pybind11-dev python3-dev')


setup(
    name=PACKAGE,
    version='0.1.0',
    description='Talk to a language model that runs on the robot itself',
    url='https://tinychat-ros.org',
    author='The TinyChat for ROS 2 authors',
    maintainer='TinyChat for ROS 2 maintainers',
    maintainer_email='maintainers@tinychat-ros.org',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['tinychat_core*', 'tinychat_ros*']),
    package_data={'tinychat_core': ['_tinychat.pyi', 'text/templates/*.jinja', 'quantize/*.txt',
                                    'server/page/*.html']},
    ext_modules=[Extension('tinychat_core._tinychat', sources=[])],
    cmdclass={'build_ext': BuildNative},
    zip_safe=False,
    install_requires=['setuptools', 'numpy', 'safetensors', 'tokenizers', 'jinja2', 'msgspec', 'xxhash'],
    # colcon reads the test runner from here; package.xml declares it for rosdep.
    extras_require={'structure': ['llguidance>=1.8'], 'server': ['fastapi', 'uvicorn'], 'vision': ['pillow'],
                    'fleet': ['httpx>=0.25', 'jsonschema>=4.18'], 'quantize': ['torch', 'transformers'],
                    'test': ['pytest']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'share/{PACKAGE}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{PACKAGE}/config', sorted(glob('config/*.yaml'))),
        (f'share/{PACKAGE}/examples', sorted(glob('examples/*.*'))),
        (f'share/{PACKAGE}/sros2', sorted(glob('sros2/*.xml'))),
    ],
    entry_points={
        'console_scripts': [
            'tinychat = tinychat_core.cli:main',
            'chat_node = tinychat_ros.chat_node:main',
            'chat_client = tinychat_ros.chat_client:main',
            'agent_node = tinychat_ros.agent.agent_node:main',
        ],
    },
)
